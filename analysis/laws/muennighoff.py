"""L(N, D, U) = E + A/N'^alpha + B/D'^alpha, where repeated tokens and excess parameters count for less.

Muennighoff et al. (2023), Scaling Data-Constrained Language Models, equations 5 to 7, with alpha = beta as
they fit it. Of U unique tokens, repeated R_D = D/U - 1 times, D' = U + U R_D* (1 - exp(-R_D/R_D*)) count;
likewise N' from U_N, the size for which U tokens are optimal, and R_N = N/U_N - 1.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from isoflop.analysis.laws import gadre
from isoflop.analysis.laws.law import CENTRED_AMPLITUDE, EXPONENT, FREE, Array, Covariate, Law

HALF_LIFE = (float(np.log(1e-2)), float(np.log(1e4)))
"""Bounds of log R_D* and log R_N*."""


def effective(base: Array, used: Array, scale: Array) -> Array:
    """`base` plus what the repetitions up to `used` are worth: base (1 + R* (1 - exp(-R/R*)))."""
    # expm1: few repetitions count in full to first order, which 1 - exp would lose to cancellation.
    repeats = jnp.maximum(used / base - 1.0, 0.0)
    return base * (1.0 - scale * jnp.expm1(-repeats / scale))


def predict(params: Array, N: Array, D: Array, U: Array) -> Array:
    E, A, B, alpha, RD, RN = (params[i] for i in range(6))
    unique = jnp.minimum(U, D)
    # With alpha = beta the optimum has A/N^alpha = B/D^alpha: U_N = U (A/B)^(1/alpha), and never more than N.
    log_enough = jnp.log(unique) + (jnp.log(A) - jnp.log(B)) / alpha
    enough = jnp.exp(jnp.minimum(log_enough, jnp.log(N)))
    tokens, size = effective(unique, D, RD), effective(enough, N, RN)
    return E + A * jnp.exp(-alpha * jnp.log(size)) + B * jnp.exp(-alpha * jnp.log(tokens))


def encode(params: Array, n0: float, d0: float) -> Array:
    """The theta of `gadre`, log R_D* and log R_N*."""
    return jnp.concatenate([gadre.encode(params[:4], n0, d0), jnp.log(params[4:])])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    return jnp.concatenate([gadre.decode(theta[:4], n0, d0), jnp.exp(theta[4:])])


LAW = Law(
    name="muennighoff",
    parameters=("E", "A", "B", "alpha", "R_D*", "R_N*"),
    equation="L(N, D, U) = E + A/N'^alpha + B/D'^alpha, X' = U_X + U_X R_X* (1 - exp(-R_X/R_X*))",
    source="Muennighoff et al. (2023), equations 5 to 7",
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
