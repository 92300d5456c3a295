"""Exercises of the notebook "Plan a budget"."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis import fit, load_runs, planned_run, predict
from isoflop.labs.exercises.exercise import Exercise, Exercises, Mistake
from isoflop.labs.exercises.simulated import draw_surface, random_numbers, run_table

BUDGETS = (1.5e17, 5e17, 1.5e18)
SIZES = 5
HERO_SHARE = 3
"""The hero and two judges."""
LEVEL = 0.95
NOISE = 0.0005


def make(student: str) -> Exercises:
    """Three rounds, a total that leaves a hero's budget, a wrong size, and an interval that missed."""
    rng = random_numbers(student, "budget")
    surface = draw_surface(rng)
    C = np.repeat(BUDGETS, SIZES)
    N = surface.n_opt(C) * np.tile(2.0 ** (np.arange(SIZES) - 2), len(BUDGETS))
    runs = run_table(surface, N, C / (6 * N), NOISE, rng)
    hero = float(rng.choice((4e18, 6e18, 8e18)))
    total = float(f"{runs['flops'].sum() + HERO_SHARE * hero * rng.uniform(1.05, 1.2):.4g}")
    loss = float(surface.loss(surface.n_opt(hero), hero / (6 * surface.n_opt(hero))))
    width, missed_by = rng.uniform(0.04, 0.08), rng.uniform(0.004, 0.02)
    low = round(loss - missed_by - width, 4) if rng.random() < 0.5 else round(loss + missed_by, 4)
    values = {
        "total": total,
        "hero": hero,
        "factor": float(rng.choice((0.25, 0.4, 2.5, 4))),
        "low": low,
        "high": round(low + width, 4),
        "loss": round(loss, 4),
    }
    return Exercises({"runs": runs}, values, lambda: _solve(runs, values))


def _solve(runs: pd.DataFrame, values: dict[str, float]) -> tuple[Exercise, ...]:
    left = values["total"] - runs["flops"].to_numpy().sum()
    return (
        Exercise(
            left / HERO_SHARE,
            (
                Mistake(left, "The two judges cost as much as the hero each."),
                Mistake(left / 2, "The hero has two judges, not one."),
                Mistake(
                    (values["total"] - sum(BUDGETS)) / HERO_SHARE, "A round is several runs of its budget."
                ),
            ),
            tolerance=0.01,
        ),
        *_solve_size(runs, values["hero"], values["factor"]),
        _solve_interval(values["low"], values["high"], values["loss"]),
    )


def _solve_size(runs: pd.DataFrame, hero: float, factor: float) -> tuple[Exercise, Exercise]:
    last = runs.tail(SIZES).sort_values("loss")
    best = float(last["n_params"].iloc[0])
    fitted = fit(load_runs(runs), bootstrap=0)
    optimum = predict(fitted, hero)
    other = planned_run(fitted, n_params=factor * optimum.n_opt, flops=hero)
    fewer_tokens = planned_run(fitted, n_params=factor * optimum.n_opt, tokens=optimum.d_opt)
    assert optimum.loss is not None  # a surface gives one
    regret = other.loss - optimum.loss
    return (
        Exercise(
            optimum.n_opt,
            (
                Mistake(best, "That is the best of your last round: the best size grows with the budget."),
                Mistake(
                    best * hero / BUDGETS[-1],
                    "That spends all the further compute on size: some of it goes into tokens.",
                ),
                Mistake(optimum.d_opt, "Those are the tokens."),
            ),
        ),
        Exercise(
            regret,
            (
                Mistake(-regret, "A regret is what is lost: the loss of that size less the least one."),
                Mistake(
                    fewer_tokens.loss - optimum.loss, "At the same FLOPs another size sees other tokens."
                ),
                Mistake(regret / optimum.loss, "In nats, please, and not as a share of the loss."),
            ),
            tolerance=0.03,
        ),
    )


def _solve_interval(low: float, high: float, loss: float) -> Exercise:
    width, missed_by = high - low, max(low - loss, loss - high)
    return Exercise(
        width + 2 / (1 - LEVEL) * missed_by,
        (
            Mistake(width, "That is the width. The interval missed, and pays for it."),
            Mistake(width + missed_by / (1 - LEVEL), "A miss counts 2 / (1 - level) times."),
            Mistake(width + 2 / LEVEL * missed_by, "1 less the level stands in the denominator."),
        ),
        tolerance=0.01,
    )
