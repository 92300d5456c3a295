"""L(N, D, G) = c + (g/G^gamma + a)/N^alpha + b/D^beta: experts of finer grain.

Krajewski et al. (2024), Scaling Laws for Fine-Grained Mixture of Experts (arXiv 2402.07871), equation 9 and
table 1. N counts all experts, E = 64 times the feed-forward layer that a token visits; granularity G is that
layer's width over an expert's, so that E G experts are there and a token visits G of them.
"""

from __future__ import annotations

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.experts import active_parameters
from isoflop.analysis.laws.law import (
    CENTRED_AMPLITUDE,
    CENTRED_TERMS,
    EXPONENT,
    FREE,
    Array,
    Covariate,
    Law,
    Published,
    Slice,
    array_namespace,
)

EXPANSION = 64.0
"""E of every run behind the published constants; the law has no E."""
ROUTING_FLOPS = 14.0
"""Training FLOPs per token, feature and expert of a block's router."""
FEATURES_PER_LAYER = 64.0
"""Width over depth of their family."""


def predict(params: Array, N: Array, D: Array, G: Array) -> Array:
    xp = array_namespace(params)
    c, g, gamma, a, alpha, b, beta = (params[i] for i in range(7))
    grain = g * xp.exp(-gamma * xp.log(G)) + a
    return c + grain * xp.exp(-alpha * xp.log(N)) + b * xp.exp(-beta * xp.log(D))


def flops_per_token(N: Array, G: Array, expansion: Array = EXPANSION) -> Array:
    """Training FLOPs: 6 a parameter that the token uses, and the routers, which choose among E G experts.

    72 d^2 n + 14 d E G n for n = d/64 blocks of width d, where N = d^2 (8 E + 4) n.
    """
    width = (FEATURES_PER_LAYER * N / (8 * expansion + 4)) ** (1 / 3)
    routers = ROUTING_FLOPS * expansion * G * width**2 / FEATURES_PER_LAYER
    return 6 * active_parameters(N, expansion) + routers


COORDINATES = Coordinates(
    ("c", "g", "gamma", "a", "alpha", "b", "beta"),
    {"g": {"N": "alpha"}, "a": {"N": "alpha"}, "b": {"D": "beta"}},
)

PUBLISHED = (
    Published(
        "krajewski",
        (0.47, 2.1, 0.58, 18.1, 0.115, 30.8, 0.147),
        source="Krajewski et al. (2024), table 1, experts of E = 64",
        seen="quoted",
        data="C4",
        note="compare it with chinchilla:krajewski-dense at equal FLOPs only: at one total N the dense model "
        "has the lower loss, and many times the FLOPs",
    ),
)

LAW = Law(
    name="krajewski",
    parameters=COORDINATES.parameters,
    equation="L(N, D, G) = c + (g/G^gamma + a)/N^alpha + b/D^beta",
    source="Krajewski et al. (2024), equation 9 and table 1",
    family="architecture",
    summary="mixtures of experts of finer grain: more and narrower experts at one number of parameters",
    conventions="N all parameters but embeddings, every expert counted; FLOPs 6 a parameter that a token "
    "uses, 3 N / (2 E + 1) of them, and 14 a router's weight; D tokens; nats per token on C4",
    needs="runs at several D/N and several granularities (granularity: the feed-forward width that a token "
    "visits over an expert's), all of one expansion rate E",
    blind_to="E, which was 64 throughout; the FLOPs of a model: at equal N its own dense set "
    "(chinchilla:krajewski-dense) is lower",
    drawn=Slice("G", 1, 64, (("N", 1.6e9), ("D", 16e9))),
    published=PUBLISHED,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((0.0, 2.0), CENTRED_AMPLITUDE, (0.1, 1.5), *CENTRED_TERMS),
    bounds=((0.0, float("inf")), FREE, EXPONENT, FREE, EXPONENT, FREE, EXPONENT),
    linear=(0, 1, 3, 5),
    flops_per_token=flops_per_token,
    covariates=(
        Covariate(
            symbol="G",
            column="granularity",
            meaning="the feed-forward width that a token visits over an expert's",
            default=lambda N, D, C: 1.0 + 0.0 * N,
            choices=(1.0, 4.0, 16.0),
        ),
    ),
)
