"""L(s) = L0 + A S1(s)^-alpha: a power law of the summed learning rate alone, blind to how the rate falls.

The first part of the laws of Tissue et al. (2024) and Luo et al. (2025), kept as what they have to beat.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.curves.law import CurveLaw
from isoflop.analysis.laws.law import FREE, Array, array_namespace


def features(rates_T: np.ndarray, steps_R: np.ndarray) -> tuple[np.ndarray, ...]:
    """S1."""
    return (np.cumsum(rates_T)[steps_R],)


def predict(params: Array, S1_R: Array) -> Array:
    xp = array_namespace(params)
    L0, A, alpha = (params[i] for i in range(3))
    return L0 + A * xp.exp(-alpha * xp.log(S1_R))


def encode(params: Array, s0: float, eta0: float) -> Array:
    """theta = (L0, log of A s0^-alpha, alpha)."""
    xp = array_namespace(params)
    L0, A, alpha = (params[i] for i in range(3))
    return xp.stack([L0, xp.log(A) - alpha * xp.log(s0), alpha])


def decode(theta: Array, s0: Array, eta0: Array) -> Array:
    xp = array_namespace(theta)
    L0, a, alpha = (theta[i] for i in range(3))
    return xp.stack([L0, xp.exp(a + alpha * xp.log(s0)), alpha])


LAW = CurveLaw(
    name="summed_rate",
    parameters=("L0", "A", "alpha"),
    equation="L(s) = L0 + A S1^-alpha",
    source="the first part of Tissue et al. (2024) and Luo et al. (2025)",
    features=features,
    predict=predict,
    start_box=((0, 5), (-4, 1), (0.1, 1.5)),
    encode=encode,
    decode=decode,
    bounds=((0, float("inf")), FREE, (0.01, 4)),
    linear=(0, 1),
    summary="a power law of the summed rate alone: what a law of schedules has to beat",
    conventions="eta of each optimizer step, counted from 0; loss in the curves' own unit",
    needs="one curve",
    blind_to="every drop of the rate: it holds for a constant schedule",
)
