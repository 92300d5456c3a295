"""Designs of N and D, and runs on every law's true surface with known noise."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis import find_law
from isoflop.analysis.laws.evaluate import evaluate
from tests.support.surfaces import BESIROGLU, skaling_of

TRUTH = {
    "chinchilla": BESIROGLU,
    "gadre": np.array([1.87, 520.8, 1487.7, 0.3527]),
    "kaplan": np.array([6.4e13, 0.076, 1.8e13, 0.103]),
    "kaplan_compute": np.array([2.7e28, 0.05]),
    "maximum": BESIROGLU,
    "muennighoff": np.array([1.869, 520.8, 1487.7, 0.35266, 15.4, 5.3]),
    "product": np.array([1.8, 3e3, 0.15, 0.2]),
    "skaling": skaling_of(BESIROGLU, 0.5),
}
"""True parameters a law; `general` has none that runs could tell."""


def isoflop(budgets: int = 6, sizes: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """N and D of an IsoFLOP grid from 1e18 to 1e21 FLOPs, sizes over a factor of 100 about D = 20 N."""
    C, ratio = (
        x.ravel() for x in np.meshgrid(np.geomspace(1e18, 1e21, budgets), np.geomspace(0.1, 10, sizes))
    )
    N = ratio * np.sqrt(C / 120)
    return N, C / 6 / N


def spread(R: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """N and D drawn independently over the range of Hoffmann et al.'s."""
    rng = np.random.default_rng([seed, 7])
    return (
        np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), R)),
        np.exp(rng.uniform(np.log(1e9), np.log(3e11), R)),
    )


def simulate(
    N: np.ndarray, D: np.ndarray, sd: np.ndarray | float, seed: int, name: str = "chinchilla"
) -> pd.DataFrame:
    """Runs on the true surface of a law, with log-normal noise: `sd` is one number or one a run."""
    rng = np.random.default_rng([seed, 11])
    columns = {"n_params": N, "n_tokens": D}
    extra: tuple[np.ndarray, ...] = ()
    if name == "muennighoff":
        columns["n_tokens_unique"] = D / rng.choice([1, 2, 4, 10, 30, 60], len(D))
        extra = (columns["n_tokens_unique"],)
    if name == "kaplan_compute":
        extra = (6 * N * D,)
    loss = evaluate(find_law(name), TRUTH[name], N, D, *extra) * np.exp(sd * rng.standard_normal(len(N)))
    return pd.DataFrame({**columns, "loss": loss})
