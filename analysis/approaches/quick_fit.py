"""A law in milliseconds, to look at while runs come in: no certificate, no intervals, no allocation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import nnls

EXPONENTS = np.linspace(0.1, 1.0, 13)
"""Values of alpha and of beta that are tried: published fits of this law lie well inside."""
FEWEST_RUNS = 8
"""The law has five parameters: through fewer runs than this it would pass nearly whatever they are."""


def quick_fit(N_R: np.ndarray, D_R: np.ndarray, loss_R: np.ndarray) -> Callable[[float, float], float] | None:
    """Predicted loss as a function of (N, D), by E + A / N^alpha + B / D^beta (Hoffmann et al. 2022).

    `N_R` parameters, `D_R` tokens and `loss_R` nats per token of R runs. Least squares over a grid of
    exponents, E, A and B not negative. None with fewer than eight runs.
    """
    if len(loss_R) < FEWEST_RUNS:
        return None
    # Over the medians, so that the terms are of the size of the loss and the three columns of one scale.
    n_R, d_R = N_R / np.median(N_R), D_R / np.median(D_R)
    best = (np.inf, 0.0, 0.0, np.zeros(3))
    for alpha in EXPONENTS:
        for beta in EXPONENTS:
            terms_Rx3 = np.stack([np.ones_like(n_R), n_R**-alpha, d_R**-beta], axis=1)
            amplitudes, missed = nnls(terms_Rx3, loss_R)
            if missed < best[0]:
                best = (float(missed), float(alpha), float(beta), amplitudes)
    _, alpha, beta, (E, A, B) = best
    n0, d0 = float(np.median(N_R)), float(np.median(D_R))
    return lambda N, D: float(E + A * (N / n0) ** -alpha + B * (D / d0) ** -beta)
