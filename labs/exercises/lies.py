"""Exercises of the notebook "Fits that lie": five specimens, each with a clean R² and a wrong answer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis import fit, load_runs
from isoflop.labs.exercises.exercise import Exercise, Exercises, Mistake
from isoflop.labs.exercises.simulated import Surface, draw_surface, random_numbers, run_table

BUDGETS = np.array([1e17, 1e18, 1e19])
PF_DAY = 8.64e19
"""FLOPs."""
GRID_EXPONENT = 0.7
"""How the sizes of the specimen "edge" grow with compute, by its author's guess."""
NOISE = 0.002
TRUNKS, HORIZONS = 3, 6


def make(student: str) -> Exercises:
    """The specimens; `more`: runs beside those of `ratio`."""
    rng = random_numbers(student, "lies")
    surface = draw_surface(rng)
    tables = {
        **_one_ratio(surface, rng),
        "edge": _edge(surface, rng),
        "compute": _frontier(surface, rng),
        "perplexity": _perplexity(surface, rng),
        "trunks": _trunks(surface, rng),
    }
    asked = float(rng.choice((1e20, 2e20, 5e20)))
    return Exercises(tables, {"flops": asked}, lambda: _solve(tables, asked))


def _one_ratio(surface: Surface, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    N = np.geomspace(1e7, 1e9, 12)
    runs = run_table(surface, N, 20 * N, NOISE, rng)
    N = np.tile(np.geomspace(2e7, 5e8, 4), 3)
    return {"ratio": runs, "more": run_table(surface, N, N * np.repeat((4, 80, 320), 4), NOISE, rng)}


def _edge(surface: Surface, rng: np.random.Generator) -> pd.DataFrame:
    largest = surface.n_opt(BUDGETS[-1]) / 1.5 * (BUDGETS / BUDGETS[-1]) ** GRID_EXPONENT
    C = np.repeat(BUDGETS, 6)
    N = np.repeat(largest, 6) / np.tile(2.0 ** np.arange(6), len(BUDGETS))
    return run_table(surface, N, C / (6 * N), NOISE / 4, rng)


def _frontier(surface: Surface, rng: np.random.Generator) -> pd.DataFrame:
    C = np.geomspace(1e16, 1e20, 9)
    N = surface.n_opt(C)
    runs = run_table(surface, N, C / (6 * N), NOISE, rng)
    return pd.DataFrame({"compute": C / PF_DAY, "loss": runs["loss"]})


def _perplexity(surface: Surface, rng: np.random.Generator) -> pd.DataFrame:
    C = np.repeat(BUDGETS, 6)
    N = surface.n_opt(C) * np.tile(2.0 ** (np.arange(6) - 2.5), len(BUDGETS))
    runs = run_table(surface, N, C / (6 * N), NOISE, rng)
    return runs.assign(loss=np.exp(runs["loss"]))


def _trunks(surface: Surface, rng: np.random.Generator) -> pd.DataFrame:
    """Two recipes that are equally good. The new one's trunks were lucky, by 1.5 of their standard errors."""
    D = np.tile(np.geomspace(4e8, 4e9, HORIZONS), 2 * TRUNKS)
    trunk = np.repeat(np.arange(2 * TRUNKS), HORIZONS)
    luck = 0.02 * rng.standard_normal((2, TRUNKS))
    luck -= luck.mean(axis=1, keepdims=True)
    luck[1] -= 1.5 * np.sqrt((luck.var(axis=1, ddof=1) / TRUNKS).sum())
    loss = surface.loss(5e7, D) + luck.ravel()[trunk] + 0.003 * rng.standard_normal(len(D))
    recipe = np.where(trunk < TRUNKS, "old", "new")
    return pd.DataFrame({"recipe": recipe, "trunk": trunk, "n_tokens": D, "loss": loss})


def _solve(tables: dict[str, pd.DataFrame], asked: float) -> tuple[Exercise, ...]:
    return (
        _solve_one_ratio(tables["ratio"], tables["more"]),
        _solve_edge(tables["edge"]),
        _solve_compute(tables["compute"], asked),
        _solve_perplexity(tables["perplexity"]),
        _solve_trunks(tables["trunks"]),
    )


def _solve_one_ratio(runs: pd.DataFrame, more: pd.DataFrame) -> Exercise:
    def exponent(table: pd.DataFrame) -> float:
        return float(fit(load_runs(table), bootstrap=0).exponents["a"] or 0)

    hint = "These runs lie on one line, D = 20 N, where the two terms can't be told apart: add the others."
    both = pd.concat([runs, more], ignore_index=True)
    return Exercise(exponent(both), (Mistake(exponent(runs), hint),))


def _solve_edge(runs: pd.DataFrame) -> Exercise:
    hint = "That is the exponent of the grid: every budget's best run is its largest model."
    return Exercise(
        float(fit(load_runs(runs), bootstrap=0).exponents["a"] or 0), (Mistake(GRID_EXPONENT, hint),)
    )


def _solve_compute(runs: pd.DataFrame, asked: float) -> Exercise:
    line = np.polyfit(np.log(runs["compute"]), np.log(runs["loss"]), 1)
    at, misread = (float(np.exp(np.polyval(line, np.log(C)))) for C in (asked / PF_DAY, asked))
    hint = "The column's numbers are small for FLOPs. A PF-day is 8.64e19 of them."
    return Exercise(at, (Mistake(misread, hint),))


def _solve_perplexity(runs: pd.DataFrame) -> Exercise:
    right = fit(load_runs(runs.assign(loss=np.log(runs["loss"]))), bootstrap=0).params["alpha"] or 0.0
    wrong = fit(load_runs(runs), bootstrap=0).params["alpha"] or 0.0
    return Exercise(
        float(right),
        (
            Mistake(float(wrong), "No language model has so many nats per token: what is in the column?"),
            Mistake(1 / right, "That is its reciprocal."),
        ),
    )


def _solve_trunks(runs: pd.DataFrame) -> Exercise:
    over_mean = runs["loss"] - runs.groupby("n_tokens")["loss"].transform("mean")
    by_run = over_mean.groupby(runs["recipe"])
    trunks = pd.Series(over_mean.groupby([runs["recipe"], runs["trunk"]]).mean())
    by_trunk = trunks.groupby("recipe")
    right = float(np.sqrt((by_trunk.var() / by_trunk.count()).sum()))
    naive = float(np.sqrt((by_run.var() / by_run.count()).sum()))
    return Exercise(
        right,
        (
            Mistake(
                naive, "Runs of one trunk share its luck: of each recipe you have three trunks, not 18 runs."
            ),
            Mistake(right**2, "That is the variance."),
        ),
    )
