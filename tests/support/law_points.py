"""Parameters and inputs at which any law can be tried."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws import Law
from isoflop.analysis.laws.evaluate import float64_on_cpu

N0, D0 = 3e8, 2e10


def inside(law: Law, seed: int = 0) -> np.ndarray:
    """Parameters from the middle half of the law's box."""
    low, high = np.array(law.start_box).T
    x = low + (high - low) * np.random.default_rng(seed).uniform(0.25, 0.75, len(low))
    with float64_on_cpu():
        if law.from_box is None:
            return np.asarray(law.decode(x, N0, D0))
        return np.asarray(law.from_box(x))


def inputs(law: Law, N: np.ndarray, D: np.ndarray) -> tuple[np.ndarray, ...]:
    """N, D and the law's covariates, at a compute that is not quite 6ND and on repeated text."""
    C = 6 * N * D
    special = {
        "U": D / 3.0,
        "C": 7.0 * N * D,
        "G": 8.0,
        "E": 16.0,
        "density": 0.25,
        "P_w": 4.0,
        "P_a": 6.0,
        "P_kv": 8.0,
        "P_post": 5.0,
        "L_T": 2.4,
        "L": 2.8,
    }
    rest = (special[c.symbol] if c.symbol in special else c.default(N, D, C) for c in law.covariates)
    return (N, D, *(x + 0.0 * N for x in rest))
