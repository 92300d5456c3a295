"""Exercises of the notebook "From Kaplan to Chinchilla on the same runs"."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis import fit, load_runs, predict
from isoflop.labs.exercises.exercise import Exercise, Exercises, Mistake
from isoflop.labs.exercises.simulated import Surface, draw_surface, random_numbers, run_table

LAW = "pearce:besiroglu"
BUDGETS = (1e16, 1e17, 1e18, 1e19)
WIDTHS = 16 * np.arange(2, 80)
VOCABULARIES = (16_000, 32_000, 50_000)
NOISE = 0.001


def make(student: str) -> Exercises:
    """IsoFLOP curves of small models with a large vocabulary, counted in three ways."""
    rng = random_numbers(student, "counting")
    runs = _runs(draw_surface(rng), int(rng.choice(VOCABULARIES)), rng)
    low = float(f"{10 ** rng.uniform(16, 18):.2g}")
    values = {"low_budget": low, "high_budget": 100 * low}
    return Exercises({"runs": runs}, values, lambda: _solve(runs, low, 100 * low))


def _runs(surface: Surface, vocabulary: int, rng: np.random.Generator) -> pd.DataFrame:
    """The law counts blocks and head, as Chinchilla's FLOPs do."""
    body = 12 * np.maximum(WIDTHS // 64, 2) * WIDTHS**2
    head = vocabulary * WIDTHS
    C = np.repeat(BUDGETS, 7)
    wanted = surface.n_opt(C) * np.tile(2.0 ** (np.arange(7) - 3), len(BUDGETS))
    chosen = np.abs(np.log(body + head) - np.log(wanted)[:, None]).argmin(axis=1)
    N = (body + head)[chosen].astype(float)
    runs = run_table(surface, N, C / (6 * N), NOISE, rng)
    counts = {
        "n_params_total": N + head[chosen],
        "n_params_non_embedding": N,
        "n_params_body": body[chosen].astype(float),
    }
    return runs.drop(columns="n_params").assign(**counts).drop_duplicates(["n_params_total", "flops"])


def _solve(runs: pd.DataFrame, low: float, high: float) -> tuple[Exercise, ...]:
    large = runs.loc[runs["n_params_total"].idxmax()]
    total, without, body = (float(large[f"n_params_{count}"]) for count in ("total", "non_embedding", "body"))
    table = load_runs(runs)
    chinchilla = fit(table, count="non_embedding", bootstrap=0).exponents
    kaplan = float(fit(table, count="body", flops="6nd", bootstrap=0).exponents["a"] or 0)
    half_way = float(fit(table, count="body", bootstrap=0).exponents["a"] or 0)
    a, b = (float(chinchilla[name] or 0) for name in ("a", "b"))
    sizes = [predict(LAW, flops, force=True).n_opt for flops in (low, high)]
    local = float(np.log(sizes[1] / sizes[0]) / np.log(high / low))
    return (
        Exercise(
            (without - body) / without,
            (
                Mistake((without - body) / total, "Of the parameters without embedding, please, not of all."),
                Mistake((total - body) / total, "That is embedding and head together."),
                Mistake(body / without, "That is the blocks' share."),
            ),
        ),
        Exercise(
            a,
            (
                Mistake(b, "That is b, the exponent of the tokens."),
                Mistake(half_way, "That counts the blocks alone: the head computes too."),
                Mistake(kaplan, "That is Kaplan's counting: asked here is Chinchilla's."),
            ),
            tolerance=0.01,
        ),
        Exercise(
            kaplan,
            (
                Mistake(half_way, "You changed N alone. Kaplan's C is 6 N D with that same N."),
                Mistake(a, "The head is still counted."),
            ),
            tolerance=0.01,
        ),
        Exercise(
            local,
            (
                Mistake(sizes[1] / sizes[0], "That is the factor: an exponent is log over log."),
                Mistake(1 / local, "You have log C over log N."),
                Mistake(0.73, "That is Kaplan's fit over five decades: here the exponent is local."),
                Mistake(
                    _exponent_without_curvature(),
                    "That is the limit of large models, where the embedding no longer counts.",
                ),
            ),
        ),
    )


def _exponent_without_curvature() -> float:
    sizes = [predict("chinchilla:besiroglu", flops).n_opt for flops in (1e20, 1e21)]
    return float(np.log10(sizes[1] / sizes[0]))
