"""L(N, D, S) = a/N^alpha + b/D^beta + c/(1-S)^lambda + d/((1-S)^delta N^gamma) + e: sparsity of experts.

Abnar et al. (2025), Parameters vs FLOPs: Scaling Laws for Optimal Sparsity for Mixture-of-Experts Language
Models (arXiv 2501.12370), the equation of its parametric fit. S is the share of experts that a token does not
visit, N counts all of them. Written here in 1 - S = K/E, the density: K of E experts.
"""

from __future__ import annotations

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.experts import active_parameters
from isoflop.analysis.laws.law import (
    CENTRED_AMPLITUDE,
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


def predict(params: Array, N: Array, D: Array, density: Array) -> Array:
    xp = array_namespace(params)
    e, a, alpha, b, beta, c, lam, d, delta, gamma = (params[i] for i in range(10))
    n, r = xp.log(N), xp.log(density)
    size, data = a * xp.exp(-alpha * n), b * xp.exp(-beta * xp.log(D))
    return e + size + data + c * xp.exp(-lam * r) + d * xp.exp(-delta * r - gamma * n)


def flops_per_token(N: Array, density: Array) -> Array:
    """6 a parameter that the token uses; attention and embeddings are as in `active_parameters`."""
    return 6 * active_parameters(N, 1 / density)


COORDINATES = Coordinates(
    ("e", "a", "alpha", "b", "beta", "c", "lambda", "d", "delta", "gamma"),
    {"a": {"N": "alpha"}, "b": {"D": "beta"}, "d": {"N": "gamma"}},
    logs=("c",),
)
SIGNED_EXPONENT = (-4.0, 4.0)

PUBLISHED = (
    Published(
        "abnar",
        (0.94, 16612.50, 0.5962, 5455.67, 0.3954, 0.4598, -0.1666, 17.26, 0.1603, 0.1595),
        source="Abnar et al. (2025), the table of its fitted coefficients",
        seen="quoted",
        data="RedPajama",
        note="its R^2 on held-out runs is 68%: read it for its shape, not to the second digit",
    ),
)

LAW = Law(
    name="abnar",
    parameters=COORDINATES.parameters,
    equation="L(N, D, S) = a/N^alpha + b/D^beta + c/(1-S)^lambda + d/((1-S)^delta N^gamma) + e",
    source="Abnar et al. (2025), parametric fit of loss to N, D and S",
    family="architecture",
    summary="how many of its experts a token should visit, by size and data",
    conventions="N all parameters, every expert counted; FLOPs 6 a parameter that a token uses, "
    "3 N / (2/(1-S) + 1) of them; D tokens; nats per token",
    needs="runs at several D/N, each at four or more sparsities: the column density (1 - S), or sparsity, or "
    "experts_per_token and experts",
    blind_to="granularity, shared experts, routing; c and e are told apart by the sparsest runs alone",
    drawn=Slice("density", 0.01, 1, (("N", 1e9), ("D", 2e10))),
    published=PUBLISHED,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=(
        (0.0, 2.0),
        CENTRED_AMPLITUDE,
        (0.1, 1.0),
        CENTRED_AMPLITUDE,
        (0.1, 1.0),
        (-3.0, 0.0),
        (-1.0, 1.0),
        CENTRED_AMPLITUDE,
        (-1.0, 1.0),
        (0.05, 0.6),
    ),
    bounds=(
        (0.0, float("inf")),
        FREE,
        EXPONENT,
        FREE,
        EXPONENT,
        FREE,
        SIGNED_EXPONENT,
        FREE,
        SIGNED_EXPONENT,
        EXPONENT,
    ),
    linear=(0, 1, 3, 5, 7),
    flops_per_token=flops_per_token,
    covariates=(
        Covariate(
            symbol="density",
            column="density",
            meaning="1 - S, the share of experts that a token visits; 1 is a dense model",
            most=1.0,
            default=lambda N, D, C: 1.0 + 0.0 * N,
            choices=(1.0, 1 / 4, 1 / 16),
            derived=(
                Derived(("sparsity",), lambda sparsity: 1.0 - sparsity.astype(float)),
                Derived(("experts_per_token", "experts"), lambda k, e: k.astype(float) / e.astype(float)),
            ),
        ),
    ),
)
