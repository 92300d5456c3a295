"""Exercises of the notebook "Predicting what you have not trained"."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd

from isoflop.labs.exercises.exercise import Exercise, Exercises, Mistake
from isoflop.labs.exercises.simulated import Surface, draw_surface, random_numbers

LEVELS = (0.8, 0.9, 0.95)
BUDGETS = np.geomspace(1e17, 1e19, 5)
FURTHER = 10.0
"""Times the largest budget."""
FORECASTS = 20
SCALE_OF_WIDTH = 0.6
"""Half of a forecaster's widths over the standard deviation of their errors: too narrow."""


def make(student: str) -> Exercises:
    """Past intervals of somebody too sure, and the minima of a law with a floor."""
    rng = random_numbers(student, "unseen")
    surface = draw_surface(rng)
    level, deviation = float(rng.choice(LEVELS)), float(rng.choice((0.01, 0.015, 0.02, 0.03)))
    past = _past(deviation, rng)
    minima = pd.DataFrame({"flops": BUDGETS, "loss": _least(surface, BUDGETS)})
    flops = FURTHER * float(BUDGETS[-1])
    measured = round(float(_least(surface, np.array([flops]))[0]), 5)
    values = {"level": level, "deviation": deviation, "flops": flops, "measured": measured}
    return Exercises({"past": past, "minima": minima}, values, lambda: _solve(past, minima, values))


def _past(deviation: float, rng: np.random.Generator) -> pd.DataFrame:
    forecast = np.round(rng.uniform(1.8, 3.0, FORECASTS), 3)
    half = SCALE_OF_WIDTH * deviation
    loss = np.round(forecast + deviation * rng.standard_normal(FORECASTS), 4)
    return pd.DataFrame({"forecast": forecast, "low": forecast - half, "high": forecast + half, "loss": loss})


def _least(surface: Surface, C: np.ndarray) -> np.ndarray:
    N = surface.n_opt(C)
    return surface.loss(N, C / (6 * N))


def _solve(past: pd.DataFrame, minima: pd.DataFrame, values: dict[str, float]) -> tuple[Exercise, ...]:
    return (
        _solve_score(past, values["level"]),
        _solve_half_width(values["level"], values["deviation"]),
        _solve_line(minima, values["flops"], values["measured"]),
    )


def _solve_score(past: pd.DataFrame, level: float) -> Exercise:
    low, high, loss = (past[name].to_numpy() for name in ("low", "high", "loss"))
    width = float((high - low).mean())
    missed = np.maximum(np.maximum(low - loss, loss - high), 0)
    missed_by = float(missed.mean())
    inside = float((missed == 0).mean())
    return Exercise(
        width + 2 / (1 - level) * missed_by,
        (
            Mistake(width, "That is the mean width: the misses are left out."),
            Mistake(width + missed_by / (1 - level), "A miss counts 2 / (1 - level) times."),
            Mistake(inside, "That is the share inside, which a wide interval has for nothing."),
        ),
        tolerance=0.01,
    )


def _solve_half_width(level: float, deviation: float) -> Exercise:
    two_sided, one_sided = (NormalDist().inv_cdf(p) for p in ((1 + level) / 2, level))
    return Exercise(
        two_sided * deviation,
        (
            Mistake(one_sided * deviation, "Half of what lies outside is on each side."),
            Mistake(2 * two_sided * deviation, "That is the whole width."),
            Mistake(SCALE_OF_WIDTH * deviation, "That is what the forecaster had, who was too sure."),
        ),
        tolerance=0.01,
    )


def _solve_line(minima: pd.DataFrame, flops: float, measured: float) -> Exercise:
    C, loss = np.asarray(minima["flops"]), np.asarray(minima["loss"])

    def straight(first: int) -> float:
        line = np.polyfit(np.log(C[first:]), np.log(loss[first:]), 1)
        return float(np.exp(np.polyval(line, np.log(flops))))

    in_nats = float(np.polyval(np.polyfit(np.log(C[-2:]), loss[-2:], 1), np.log(flops)))
    return Exercise(
        measured - straight(-2),
        (
            Mistake(straight(-2) - measured, "Measured less predicted: the sign says which was worse."),
            Mistake(measured - straight(0), "That line goes through all five minima: take the last two."),
            Mistake(measured - in_nats, "The loss stands in logarithms too."),
        ),
        tolerance=0.03,
    )
