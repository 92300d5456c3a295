"""L(C) = (Cc/C)^alpha_C on the compute envelope: the best loss that a budget buys, and nothing of its split.

Kaplan et al. (2020), equation 1.3 and table 5. Their Cc, 3.1e8, is in PF-days: 3.1e8 * 8.64e19 FLOPs (several
public copies read it as FLOPs). Here Cc is in FLOPs, and only runs that no cheaper run beats are fitted.
"""

from __future__ import annotations

import jax.numpy as jnp

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law

PF_DAY = 1e15 * 24 * 3600
"""FLOPs."""


def predict(params: Array, N: Array, D: Array, C: Array) -> Array:
    Cc, alpha_C = params[0], params[1]
    # N and D take part for their shape alone: every law's inputs broadcast.
    return jnp.exp(alpha_C * (jnp.log(Cc) - jnp.log(C))) + 0.0 * (N + D)


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (log of the loss at 6 n0 d0 FLOPs, alpha_C)."""
    Cc, alpha_C = params[0], params[1]
    return jnp.stack([alpha_C * (jnp.log(Cc) - jnp.log(6 * n0 * d0)), alpha_C])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    level, alpha_C = theta[0], theta[1]
    return jnp.stack([6 * n0 * d0 * jnp.exp(level / alpha_C), alpha_C])


LAW = Law(
    name="kaplan_compute",
    parameters=("Cc", "alpha_C"),
    equation="L(C) = (Cc/C)^alpha_C on the envelope",
    source="Kaplan et al. (2020), equation 1.3",
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-1.0, 3.0), (0.005, 1.0)),
    bounds=(FREE, (1e-3, 8.0)),
    covariates=(Covariate("C", "flops", "training compute, FLOPs", lambda N, D, C: C),),
    envelope=True,
)
