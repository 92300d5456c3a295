"""L = E + A N^-a C^-c D^-d: the "general form" that some texts print, in three variables that are two.

With C = 6ND its three exponents can be shifted against each other at no change of the loss, and along an
IsoFLOP it is monotone in N. Here to show what a fit must say of such a form: nothing is identified.
"""

from __future__ import annotations

import jax.numpy as jnp

from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Covariate, Law


def predict(params: Array, N: Array, D: Array, C: Array) -> Array:
    E, A, a, c, d = (params[i] for i in range(5))
    return E + A * jnp.exp(-a * jnp.log(N) - c * jnp.log(C) - d * jnp.log(D))


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (E, log of the term at n0, d0 and 6 n0 d0, a, c, d)."""
    E, A, a, c, d = (params[i] for i in range(5))
    level = jnp.log(A) - a * jnp.log(n0) - c * jnp.log(6 * n0 * d0) - d * jnp.log(d0)
    return jnp.stack([E, level, a, c, d])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    E, level, a, c, d = (theta[i] for i in range(5))
    log_A = level + a * jnp.log(n0) + c * jnp.log(6 * n0 * d0) + d * jnp.log(d0)
    return jnp.stack([E, jnp.exp(log_A), a, c, d])


def from_box(x: Array) -> Array:
    """(e, log A, a, c, d) -> (E, A, a, c, d)."""
    return jnp.stack([jnp.exp(x[0]), jnp.exp(x[1]), x[2], x[3], x[4]])


LAW = Law(
    name="general",
    parameters=("E", "A", "a", "c", "d"),
    equation="L(N, D, C) = E + A/(N^a C^c D^d)",
    source="no paper's; a textbook form",
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-1.0, 1.0), (0.0, 75.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)),
    from_box=from_box,
    bounds=((0.0, float("inf")), FREE, EXPONENT, EXPONENT, EXPONENT),
    linear=(0, 1),
    covariates=(Covariate("C", "flops", "training compute, FLOPs", lambda N, D, C: C),),
)
