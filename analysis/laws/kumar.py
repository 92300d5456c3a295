"""L(N, D, P) = E + A/N_eff^alpha + B/D^beta, where N_eff = N times a product of 1 - exp(-P/gamma).

Kumar et al. (2024), Scaling Laws for Precision (arXiv 2411.04330): the product is over weights, activations
and the KV cache. Training in P bits leaves fewer effective parameters, and costs C = (6/16) N D P.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import (
    CENTRED_TERMS,
    EXPONENT,
    FREE,
    Array,
    Covariate,
    Derived,
    Law,
    Published,
    Slice,
    array_namespace,
)

FULL_BITS = 16.0
"""Bits at which an operation costs what 6 N D counts."""
BITS = {
    "float32": 32.0,
    "bfloat16": 16.0,
    "float16": 16.0,
    "float8": 8.0,
    "int8": 8.0,
    "float4": 4.0,
    "int4": 4.0,
}
"""By the name of a dtype; any other has no known number of bits."""
GAMMA = (float(np.log(1e-2)), float(np.log(1e2)))
"""Bounds of log gamma, bits."""


def effective_share(gamma: Array, bits: Array) -> Array:
    """Parameters that count, of those that there are: 1 - exp(-P/gamma)."""
    return -array_namespace(gamma).expm1(-bits / gamma)


def predict(params: Array, N: Array, D: Array, *bits: Array) -> Array:
    """`bits`: of weights, activations and the KV cache, in training."""
    xp = array_namespace(params)
    E, A, alpha, B, beta = (params[i] for i in range(5))
    effective = xp.log(N) + sum(xp.log(effective_share(params[5 + i], bits[i])) for i in range(3))
    return E + A * xp.exp(-alpha * effective) + B * xp.exp(-beta * xp.log(D))


def flops_per_token(N: Array, *bits: Array) -> Array:
    """6 N P / 16: an operation's price grows with the wider of what enters it."""
    widest = np.maximum(np.maximum(bits[0], bits[1]), bits[2])
    return 6 * N * widest / FULL_BITS


def optimal_bits(gammas: tuple[float, ...]) -> float:
    """The precision P that is the best for any budget, all of `gammas` alike in it.

    At a fixed N D P it has the most effective parameters: sum of x/(e^x - 1) = 1 over x = P/gamma. With three
    equal gammas e^x = 1 + 3 x, so that P = 1.904 gamma.
    """
    from scipy.optimize import brentq

    gammas_K = np.array(gammas)
    found = brentq(lambda P: np.sum((P / gammas_K) / np.expm1(P / gammas_K)) - 1, 1e-3, 100 * max(gammas))
    return float(np.asarray(found))


def of_dtype(dtype: Array) -> Array:
    """Bits of each run's dtype."""
    return np.array([BITS.get(str(name), np.nan) for name in dtype])


def of_rounding(bits: Array) -> Array:
    """Bits of weights that training rounds to `bits`; 0 is not at all, and leaves float32."""
    return np.where(bits.astype(float) > 0, bits.astype(float), BITS["float32"])


def precision(symbol: str, column: str, what: str, *own: Derived) -> Covariate:
    """The bits of `what` in training: its own column, one of all (bits), what `own` makes of others, or the
    dtype's."""
    return Covariate(
        symbol=symbol,
        column=column,
        meaning=f"bits of {what} in training; 16 is bfloat16",
        default=lambda N, D, C: FULL_BITS + 0.0 * N,
        choices=(1.0, 1 / 2, 1 / 4),
        derived=(
            Derived(("bits",), lambda bits: bits.astype(float)),
            *own,
            Derived(("dtype",), of_dtype),
        ),
    )


COORDINATES = Coordinates(
    ("E", "A", "alpha", "B", "beta", "gamma_w", "gamma_a", "gamma_kv"),
    {"A": {"N": "alpha"}, "B": {"D": "beta"}},
    logs=("gamma_w", "gamma_a", "gamma_kv"),
)

PUBLISHED = (
    Published(
        "kumar",
        (2.7648, 4299.0, 0.4965, 18060.0, 0.4965, 2.6745, 2.2102, 0.9578),
        source="Kumar et al. (2024), appendix, fitted constants",
        seen="memory",
        count="non_embedding",
        data="Dolma",
        note="A, alpha = beta and gamma_w are quoted by others, gamma_kv to two digits (.96); B, E and "
        "gamma_a are from memory. The paper's optimum of 7 to 8 bits does not follow from these",
    ),
)

LAW = Law(
    name="kumar",
    parameters=COORDINATES.parameters,
    equation="L(N, D, P) = E + A/N_eff^alpha + B/D^beta, N_eff = N (1 - exp(-P_w/gamma_w)) "
    "(1 - exp(-P_a/gamma_a)) (1 - exp(-P_kv/gamma_kv))",
    source="Kumar et al. (2024), the law of training precision",
    family="precision",
    summary="training in P bits leaves fewer effective parameters, and costs less",
    conventions="C = (6/16) N D P FLOPs of 16 bits; N parameters without embeddings; D tokens; nats a token",
    needs="runs at several D/N, each at three precisions or more, of which some below 8 bits; weights, "
    "activations and KV cache varied apart, or gammas tied: columns bits_weights, bits_activations and "
    "bits_kv, or bits for all of them, or weight_bits, or dtype",
    blind_to="number formats of equal width, hardware without the speed-up, what rounding does to rates; 16 "
    "and 32 bits are alike to it",
    drawn=Slice("P_w", 2, 16, (("N", 1e8), ("D", 2e9))),
    published=PUBLISHED,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((0.0, 3.0), *CENTRED_TERMS, (-1.0, 2.0), (-1.0, 2.0), (-1.0, 2.0)),
    bounds=((0.0, float("inf")), FREE, EXPONENT, FREE, EXPONENT, GAMMA, GAMMA, GAMMA),
    linear=(0, 1, 3),
    contains="chinchilla",
    flops_per_token=flops_per_token,
    covariates=(
        precision("P_w", "bits_weights", "weights", Derived(("weight_bits",), of_rounding)),
        precision("P_a", "bits_activations", "activations"),
        precision("P_kv", "bits_kv", "keys and values"),
    ),
)
