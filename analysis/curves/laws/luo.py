"""L(s) = L0 + A S1(s)^-alpha - B sum_k (eta_(k-1) - eta_k) (1 - (1 + C eta_k^-gamma S_k(s))^-beta).

The multi-power law of Luo et al. (2025), arXiv 2503.12811. eta_k is the learning rate of step k, S1(s) the
sum of all rates up to step s, and S_k(s) that of steps k to s. The warm-up counts in both: S1 takes in its
area, S_W, and its rise is a drop of the other sign, which lowers L0 by what the peak is worth.
"""

from __future__ import annotations

import math

import numpy as np

from isoflop.analysis.curves.law import CurveLaw, FittedRange, PublishedCurves
from isoflop.analysis.curves.laws.drops import condensed_drops
from isoflop.analysis.laws.law import FREE, Array, array_namespace

LOG_TWO = math.log(2.0)


def features(rates_T: np.ndarray, steps_R: np.ndarray) -> tuple[np.ndarray, ...]:
    """S1, and in K bins the drops, the log of their rates eta_k and of their distances S_k."""
    return np.cumsum(rates_T)[steps_R], *condensed_drops(rates_T, steps_R)


def predict(params: Array, S1_R: Array, drop_RxK: Array, rate_RxK: Array, distance_RxK: Array) -> Array:
    xp = array_namespace(params)
    L0, A, alpha, B, C, beta, gamma = (params[i] for i in range(7))
    # In logs: C eta^-gamma S spans ten decades, and 0^-gamma has no derivative.
    reach_RxK = C * xp.exp(distance_RxK - gamma * rate_RxK)
    share_RxK = -xp.expm1(-beta * xp.log1p(reach_RxK))
    return L0 + A * xp.exp(-alpha * xp.log(S1_R)) - B * xp.sum(drop_RxK * share_RxK, axis=-1)


def encode(params: Array, s0: float, eta0: float) -> Array:
    """theta = (L0, log of A s0^-alpha, alpha, log of B eta0, log of h / s0, log beta, gamma).

    h is the distance, as summed rate, at which a drop to the rate eta0 has taken half of its effect.
    """
    xp = array_namespace(params)
    L0, A, alpha, B, C, beta, gamma = (params[i] for i in range(7))
    # C, beta and gamma by themselves move along narrow valleys: as beta grows the power becomes an
    # exponential of C beta, and C is at a rate of 1. The half-way distance is what the curves show.
    half = xp.log(xp.expm1(LOG_TWO / beta)) - xp.log(C) + gamma * xp.log(eta0) - xp.log(s0)
    return xp.stack([L0, xp.log(A) - alpha * xp.log(s0), alpha, xp.log(B * eta0), half, xp.log(beta), gamma])


def decode(theta: Array, s0: Array, eta0: Array) -> Array:
    xp = array_namespace(theta)
    L0, a, alpha, b, half, log_beta, gamma = (theta[i] for i in range(7))
    A, B, beta = xp.exp(a + alpha * xp.log(s0)), xp.exp(b) / eta0, xp.exp(log_beta)
    C = xp.expm1(LOG_TWO / beta) * xp.exp(gamma * xp.log(eta0) - xp.log(s0) - half)
    return xp.stack([L0, A, alpha, B, C, beta, gamma])


SOURCE = "thu-yao-01-luo/MultiPowerLaw at 8da9f19, src/config.py; to three digits in its README"
COVERED = FittedRange(steps=24_000, peak=3e-4, warmup_steps=2160, area=6.88, lowest_rate=3e-5)
SHORT = (
    "the search stopped after 80 steps, short of its objective's optimum (docs/curves.md); the curves were "
    "run anew for the repository, and the constants differ from the paper's"
)


def _published(name: str, *params: float) -> PublishedCurves:
    model = (
        f"a model of {name.upper()} parameters: a cosine and a constant schedule of 24,000 steps, a step down"
    )
    return PublishedCurves(name, params, source=SOURCE, seen="code", data=model, note=SHORT, fitted=COVERED)


LAW = CurveLaw(
    name="luo",
    parameters=("L0", "A", "alpha", "B", "C", "beta", "gamma"),
    equation="L(s) = L0 + A S1^-alpha - B sum_k (eta_(k-1) - eta_k) (1 - (1 + C eta_k^-gamma S_k)^-beta)",
    source="Luo et al. (2025), arXiv 2503.12811; definitions as in thu-yao-01-luo/MultiPowerLaw at 8da9f19",
    features=features,
    predict=predict,
    start_box=((0, 5), (-4, 1), (0.2, 1.2), (-4, 1), (-7, 0), (-2, 1), (0, 1.2)),
    encode=encode,
    decode=decode,
    bounds=((0, float("inf")), FREE, (0.01, 4), FREE, (-16, 6), (-4, 3), (-1, 4)),
    linear=(0, 1, 3),
    summary="loss curves under any schedule: a power law of the summed rate, less what its drops bring",
    conventions="rates of optimizer steps, counted from 0, and their sums; loss in the curves' own unit",
    needs="curves of one model whose rate falls in two ways at least: gradually, and at once",
    blind_to="size, batch and data; beta apart from C where no drop is followed to the end of its effect",
    published=(
        _published(
            "25m", 3.04045406, 0.52468604, 0.50786857, 363.78751622, 2.06560812, 0.58279013, 0.64142257
        ),
        _published(
            "100m", 2.6514477, 0.60115152, 0.45295811, 437.9464276, 2.13245612, 0.59785199, 0.65523644
        ),
        _published(
            "400m", 2.37474466, 0.65421216, 0.42878731, 523.42464371, 2.02462735, 0.59350493, 0.63472457
        ),
    ),
)
