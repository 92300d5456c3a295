"""Exercises of the notebook "Width and rate"."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoflop.labs.exercises.exercise import Exercise, Exercises, Mistake
from isoflop.labs.exercises.simulated import random_numbers, vertex

Floats = NDArray[np.float64]

WIDTHS = np.array([64.0, 128, 256, 512])
RATES = 2.0 ** np.arange(-12, -4)
BASE_WIDTH = 64
SEEDS = 3
NOISE = 0.0005
"""Standard deviation of a trial's loss, nats."""
REPEATS = 5


def make(student: str) -> Exercises:
    """Losses by rate and width under both parametrizations, and runs that differ in the seed alone."""
    rng = random_numbers(student, "rates")
    trials, repeats = _trials(rng), _repeats(rng)
    values = {
        "rate": float(rng.choice((0.003, 0.004, 0.006))),
        "target_width": float(rng.choice((1024, 2048, 4096))),
        "difference": float(rng.choice((0.005, 0.008, 0.01))),
    }
    tables = {"trials": trials, "repeats": repeats}
    return Exercises(tables, values, lambda: _solve(tables, values))


def _trials(rng: np.random.Generator) -> pd.DataFrame:
    """Parabolas in the log rate: under the standard parametrization the best rate falls with the width."""
    # Between two of the rates tried at the narrowest width, and a quarter off the nearer.
    narrow = RATES[5] * np.exp(rng.choice((-1, 1)) * rng.uniform(0.15, 0.3))
    slopes = {"standard": -rng.uniform(0.78, 0.92), "mup": rng.uniform(-0.08, 0.08)}
    curvature, level = rng.uniform(0.025, 0.045), rng.uniform(2.0, 2.2)
    rows = [
        {
            "parametrization": parametrization,
            "width": int(width),
            "lr": rate,
            "seed": seed,
            "loss": level
            - 0.08 * np.log(width / WIDTHS[0])
            + curvature * np.log(rate / (narrow * (width / WIDTHS[0]) ** slope)) ** 2
            + NOISE * rng.standard_normal(),
        }
        for parametrization, slope in slopes.items()
        for width in WIDTHS
        for rate in RATES
        for seed in range(SEEDS)
    ]
    return pd.DataFrame(rows)


def _repeats(rng: np.random.Generator) -> pd.DataFrame:
    """A loss a width and seed, all else the same."""
    deviation = rng.uniform(0.006, 0.012)
    mean = 2.0 - 0.04 * np.log(WIDTHS / WIDTHS[0])
    losses = mean[:, None] + deviation * rng.standard_normal((len(WIDTHS), REPEATS))
    return pd.DataFrame(
        {
            "width": np.repeat(WIDTHS.astype(int), REPEATS),
            "seed": np.tile(np.arange(REPEATS), len(WIDTHS)),
            "loss": losses.ravel(),
        }
    )


def _solve(tables: dict[str, pd.DataFrame], values: dict[str, float]) -> tuple[Exercise, ...]:
    # In the order of their rows: axes R of rates, S of seeds.
    shape = (2, len(WIDTHS), len(RATES), SEEDS)
    standard_WxRxS, mup_WxRxS = np.asarray(tables["trials"]["loss"], float).reshape(shape)
    repeats_WxS = np.asarray(tables["repeats"]["loss"], float).reshape(len(WIDTHS), REPEATS)
    return (
        _solve_best(standard_WxRxS[0]),
        _solve_slope(standard_WxRxS, mup_WxRxS),
        _solve_cost(standard_WxRxS, mup_WxRxS),
        _solve_rule(values["rate"], values["target_width"]),
        _solve_seeds(repeats_WxS, values["difference"]),
    )


def _solve_best(narrow_RxS: Floats) -> Exercise:
    best = _best_rate(narrow_RxS)
    return Exercise(
        best,
        (
            Mistake(
                vertex(np.repeat(RATES, SEEDS), narrow_RxS.ravel()),
                "Rates act by factors: the parabola is one in the log of the rate.",
            ),
            Mistake(
                float(RATES[narrow_RxS.mean(axis=1).argmin()]),
                "That is the best rate tried: the minimum lies between two of them.",
            ),
            Mistake(float(np.log(best)), "That is the rate's logarithm."),
        ),
    )


def _solve_slope(standard_WxRxS: Floats, mup_WxRxS: Floats) -> Exercise:
    best_W, mups_W = (np.array([_best_rate(own) for own in each]) for each in (standard_WxRxS, mup_WxRxS))
    slope = _slope(np.log(WIDTHS), np.log(best_W))
    return Exercise(
        slope,
        (
            Mistake(-slope, "The best rate falls: what is the sign of the slope?"),
            Mistake(1 / slope, "You have log width over log rate."),
            Mistake(float(best_W[0] / best_W[-1]), "That is the factor: a slope is log over log."),
            Mistake(_slope(WIDTHS, best_W), "Logarithms of both, please."),
            Mistake(_slope(np.log(WIDTHS), np.log(mups_W)), "That is mup's."),
        ),
    )


def _solve_cost(standard_WxRxS: Floats, mup_WxRxS: Floats) -> Exercise:
    narrow_RxS, wide_RxS = standard_WxRxS[0], standard_WxRxS[-1]
    cost, curvature = _transfer_cost(standard_WxRxS), _parabola(wide_RxS)[0]
    return Exercise(
        cost,
        (
            Mistake(cost / np.log(10) ** 2, "That mixes log10 with the natural logarithm."),
            Mistake(float((cost * curvature) ** 0.5), "The distance is squared: it is a parabola."),
            Mistake(_transfer_cost(mup_WxRxS), "That is mup's."),
            Mistake(
                _least(wide_RxS) + cost - _least(narrow_RxS),
                "That compares two widths. What would the widest have lost less at its own best rate?",
            ),
        ),
    )


def _solve_rule(rate: float, width: float) -> Exercise:
    ratio = BASE_WIDTH / width
    return Exercise(
        rate * ratio,
        (
            Mistake(rate, "The embedding and the norms keep that. A matrix that reads features does not."),
            Mistake(rate / ratio, "The wider, the more features add up: the rate falls."),
            Mistake(rate * ratio**0.5, "The root is right for Muon's updates, not for Adam's."),
        ),
    )


def _solve_seeds(repeats_WxS: Floats, difference: float) -> Exercise:
    variance = float(repeats_WxS.var(axis=1, ddof=1).mean())
    return Exercise(
        8 * variance / difference**2,
        (
            Mistake(4 * variance / difference**2, "Both means are noisy: variances of a difference add up."),
            Mistake(
                8 * float(repeats_WxS.var(ddof=1)) / difference**2,
                "Losses of unlike widths differ by more than noise: take the variance within each width.",
            ),
            Mistake(
                8 * float(repeats_WxS.var(axis=1).mean()) / difference**2,
                "Five values about their own mean have four degrees of freedom.",
            ),
            Mistake(2 * variance / difference**2, "Twice its standard error, not once."),
        ),
    )


def _parabola(loss_RxS: Floats) -> Floats:
    """Its coefficients in the log of the rate, the curvature first."""
    return np.polyfit(np.repeat(np.log(RATES), SEEDS), loss_RxS.ravel(), 2)


def _best_rate(loss_RxS: Floats) -> float:
    return float(np.exp(vertex(np.repeat(np.log(RATES), SEEDS), loss_RxS.ravel())))


def _least(loss_RxS: Floats) -> float:
    """The least loss by the parabola."""
    return float(np.polyval(_parabola(loss_RxS), np.log(_best_rate(loss_RxS))))


def _transfer_cost(loss_WxRxS: Floats) -> float:
    """Nats that the widest loses at the narrowest's best rate, by its parabola."""
    miss = float(np.log(_best_rate(loss_WxRxS[0]) / _best_rate(loss_WxRxS[-1])))
    return float(_parabola(loss_WxRxS[-1])[0]) * miss**2


def _slope(x: Floats, y: Floats) -> float:
    return float(np.polyfit(x, y, 1)[0])
