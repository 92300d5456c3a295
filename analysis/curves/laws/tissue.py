"""L(s) = L0 + A S1(s)^-alpha - C S2(s).

The annealing law of Tissue et al. (2024), arXiv 2408.11029. S1(s) is the sum of the learning rates eta_i up
to step s; S2(s) the sum of m_i, with m_i = lambda m_(i-1) + (eta_(i-1) - eta_i): a momentum of the rate's
drops.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.curves.law import CurveLaw
from isoflop.analysis.laws.law import FREE, Array, array_namespace

MOMENTUM = 0.999
"""lambda, a step: a drop has taken most of its effect after 1,000 steps."""


def features(rates_T: np.ndarray, steps_R: np.ndarray) -> tuple[np.ndarray, ...]:
    """S1 and S2."""
    from scipy.signal import lfilter  # here: who lists laws need not wait for it

    drop_T = np.concatenate([[0.0], -np.diff(rates_T)])
    momentum_T = lfilter([1.0], [1.0, -MOMENTUM], drop_T)
    return np.cumsum(rates_T)[steps_R], np.cumsum(momentum_T)[steps_R]


def predict(params: Array, S1_R: Array, S2_R: Array) -> Array:
    xp = array_namespace(params)
    L0, A, alpha, C = (params[i] for i in range(4))
    return L0 + A * xp.exp(-alpha * xp.log(S1_R)) - C * S2_R


def encode(params: Array, s0: float, eta0: float) -> Array:
    """theta = (L0, log of A s0^-alpha, alpha, log of what a drop of the whole rate is worth in the end)."""
    xp = array_namespace(params)
    L0, A, alpha, C = (params[i] for i in range(4))
    worth = xp.log(C) + xp.log(eta0 / (1 - MOMENTUM))
    return xp.stack([L0, xp.log(A) - alpha * xp.log(s0), alpha, worth])


def decode(theta: Array, s0: Array, eta0: Array) -> Array:
    xp = array_namespace(theta)
    L0, a, alpha, c = (theta[i] for i in range(4))
    return xp.stack([L0, xp.exp(a + alpha * xp.log(s0)), alpha, xp.exp(c) * (1 - MOMENTUM) / eta0])


LAW = CurveLaw(
    name="tissue",
    parameters=("L0", "A", "alpha", "C"),
    equation="L(s) = L0 + A S1^-alpha - C S2",
    source="Tissue et al. (2024), arXiv 2408.11029",
    features=features,
    predict=predict,
    start_box=((0, 5), (-4, 1), (0.1, 1.5), (-4, 1)),
    encode=encode,
    decode=decode,
    bounds=((0, float("inf")), FREE, (0.01, 4), FREE),
    linear=(0, 1, 3),
    summary="loss curves under any schedule: a power law of the summed rate, less a momentum of its drops",
    conventions="eta of each optimizer step, counted from 0, lambda a step; loss in the curves' own unit",
    needs="a curve whose rate falls, and rows before and after it does",
    blind_to="size, batch and data; a drop's worth is its size, whatever the rate it falls to",
)
