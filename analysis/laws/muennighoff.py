"""L(N, D, U) = E + A/N'^alpha + B/D'^alpha, where repeated tokens and excess parameters count for less.

Muennighoff et al. (2023), Scaling Data-Constrained Language Models, equations 5 to 7, with alpha = beta as
they fit it. Of U unique tokens, repeated R_D = D/U - 1 times, D' = U + U R_D* (1 - exp(-R_D/R_D*)) count;
likewise N' from U_N, the size for which U tokens are optimal, and R_N = N/U_N - 1.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws import gadre
from isoflop.analysis.laws.law import (
    CENTRED_AMPLITUDE,
    EXPONENT,
    FREE,
    Array,
    Covariate,
    Law,
    Published,
    array_namespace,
)

HALF_LIFE = (float(np.log(1e-2)), float(np.log(1e4)))
"""Bounds of log R_D* and log R_N*."""


def effective(base: Array, used: Array, scale: Array) -> Array:
    """`base` plus what the repetitions up to `used` are worth: base (1 + R* (1 - exp(-R/R*)))."""
    xp = array_namespace(scale)
    # expm1: few repetitions count in full to first order, which 1 - exp would lose to cancellation.
    repeats = xp.maximum(used / base - 1.0, 0.0)
    return base * (1.0 - scale * xp.expm1(-repeats / scale))


def predict(params: Array, N: Array, D: Array, U: Array) -> Array:
    xp = array_namespace(params)
    E, A, B, alpha, RD, RN = (params[i] for i in range(6))
    unique = xp.minimum(U, D)
    # With alpha = beta the optimum has A/N^alpha = B/D^alpha: U_N = U (A/B)^(1/alpha), and never more than N.
    log_enough = xp.log(unique) + (xp.log(A) - xp.log(B)) / alpha
    enough = xp.exp(xp.minimum(log_enough, xp.log(N)))
    tokens, size = effective(unique, D, RD), effective(enough, N, RN)
    return E + A * xp.exp(-alpha * xp.log(size)) + B * xp.exp(-alpha * xp.log(tokens))


def encode(params: Array, n0: float, d0: float) -> Array:
    """The theta of `gadre`, log R_D* and log R_N*."""
    xp = array_namespace(params)
    return xp.concatenate([gadre.COORDINATES.encode(params[:4], n0, d0), xp.log(params[4:])])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    return xp.concatenate([gadre.COORDINATES.decode(theta[:4], n0, d0), xp.exp(theta[4:])])


PUBLISHED = (
    Published(
        "muennighoff",
        (
            float(np.exp(0.6254804)),
            float(np.exp(6.255414)),
            float(np.exp(7.3049974)),
            0.3526596,
            15.387756,
            5.309743,
        ),
        source="Muennighoff et al. (2023); huggingface/datablations, parametric_fit.ipynb, at 1370131",
        seen="code",
        n_range=(7e6, 8.7e9),
        d_range=(1e8, 9e11),
        data="C4",
        note="the first four fixed beforehand; the runs do not identify R_D* (docs/published-fits.md)",
    ),
)

LAW = Law(
    name="muennighoff",
    parameters=("E", "A", "B", "alpha", "R_D*", "R_N*"),
    equation="L(N, D, U) = E + A/N'^alpha + B/D'^alpha, X' = U_X + U_X R_X* (1 - exp(-R_X/R_X*))",
    source="Muennighoff et al. (2023), equations 5 to 7",
    family="data",
    summary="repeated tokens and excess parameters count for less, exponentially",
    conventions="C = 6 N D FLOPs; N all parameters; D tokens seen, U distinct ones; nats per token on C4",
    needs="runs of 1 to 40 epochs at several U, some with more parameters than U warrants",
    blind_to="the order of repetitions, the quality of what is repeated",
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.0, 2.0), CENTRED_AMPLITUDE, CENTRED_AMPLITUDE, (0.05, 1.5), (-1.0, 5.0), (-1.0, 5.0)),
    bounds=((0.0, float("inf")), FREE, FREE, EXPONENT, HALF_LIFE, HALF_LIFE),
    covariates=(
        Covariate(
            symbol="U",
            column="n_tokens_unique",
            meaning="distinct tokens among those trained on",
            default=lambda N, D, C: D,
            choices=(1.0, 1 / 4, 1 / 16, 1 / 64),
        ),
    ),
)
