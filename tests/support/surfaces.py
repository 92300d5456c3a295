"""Runs on known surfaces: the law of Besiroglu et al., spread designs and IsoFLOP grids."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis import find_law
from isoflop.analysis.approaches.diagnostics import SURFACE
from isoflop.analysis.compute import SixN
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.result import optimal_size

BESIROGLU = np.array([1.8172, 482.01, 0.3478, 2085.43, 0.3658])
"""E, A, alpha, B, beta of Besiroglu et al. (2024), Chinchilla Scaling: A replication attempt, table 1."""


def skaling_of(truth: np.ndarray, k: float) -> np.ndarray:
    """Parameters of `skaling` whose terms, each alone, are those of a `chinchilla` with these."""
    E, A, alpha, B, beta = truth
    return np.array([E, A ** (1 / k), alpha / k, B ** (1 / k), beta / k, k])


def spread_runs(R: int, sd: float, seed: int = 0, truth: np.ndarray = BESIROGLU) -> pd.DataFrame:
    """R runs with N and D spread independently over the range of Hoffmann et al.'s, log-normal noise `sd`."""
    rng = np.random.default_rng(seed)
    N = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), R))
    D = np.exp(rng.uniform(np.log(1e9), np.log(3e11), R))
    loss = evaluate(find_law("chinchilla"), truth, N, D) * np.exp(sd * rng.standard_normal(R))
    return pd.DataFrame({"n_params": N, "n_tokens": D, "loss": loss})


LOPSIDED = np.array([1.69, 406.4, 0.45, 410.7, 0.15])
"""E, A, alpha, B, beta: exponents further apart than any published ones, to show what asymmetry does."""


def isoflops(
    sd: float = 0.0,
    width: float = 8.0,
    sizes: int = 7,
    centre: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
    budgets: int = 6,
    truth: np.ndarray = BESIROGLU,
) -> pd.DataFrame:
    """IsoFLOPs on a surface under C = 6ND. `width`: largest over smallest size; `centre`: their geometric
    middle over N_opt, at the smallest budget and at the largest.
    """
    rng = np.random.default_rng(seed)
    C = np.repeat(np.geomspace(1e18, 1e21, budgets), sizes)
    middle = optimal_size(find_law(SURFACE), truth, C, SixN()) * np.repeat(
        np.geomspace(*centre, budgets), sizes
    )
    N = middle * np.tile(np.geomspace(width**-0.5, width**0.5, sizes), budgets)
    loss = evaluate(find_law(SURFACE), truth, N, C / (6 * N)) * np.exp(sd * rng.standard_normal(len(N)))
    return pd.DataFrame({"n_params": N, "n_tokens": C / (6 * N), "flops": C, "budget": C, "loss": loss})
