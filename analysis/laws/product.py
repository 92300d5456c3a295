"""L(N, D) = E + A / (N^alpha D^beta): one term, a product of two powers.

What the "general form" L_min + A N^-a C^-c D^-d comes to where C is a product of powers of N and D, as 6ND
is: its three exponents are then two. Along an IsoFLOP it is monotone in N, so it has no interior optimum: a
form that is here to lose.
"""

from __future__ import annotations

import jax.numpy as jnp

from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law


def predict(params: Array, N: Array, D: Array) -> Array:
    E, A, alpha, beta = (params[i] for i in range(4))
    return E + A * jnp.exp(-alpha * jnp.log(N) - beta * jnp.log(D))


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (E, log of A/(n0^alpha d0^beta), alpha, beta)."""
    E, A, alpha, beta = (params[i] for i in range(4))
    return jnp.stack([E, jnp.log(A) - alpha * jnp.log(n0) - beta * jnp.log(d0), alpha, beta])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    E, a, alpha, beta = (theta[i] for i in range(4))
    return jnp.stack([E, jnp.exp(a + alpha * jnp.log(n0) + beta * jnp.log(d0)), alpha, beta])


def from_box(x: Array) -> Array:
    """(e, a, alpha, beta) -> (E, A, alpha, beta)."""
    return jnp.stack([jnp.exp(x[0]), jnp.exp(x[1]), x[2], x[3]])


LAW = Law(
    name="product",
    parameters=("E", "A", "alpha", "beta"),
    equation="L(N, D) = E + A/(N^alpha D^beta)",
    source="the product form; compare Rosenfeld et al. (2020), section 4",
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-1.0, 1.0), (0.0, 50.0), (0.0, 2.0), (0.0, 2.0)),
    from_box=from_box,
    bounds=((0.0, float("inf")), FREE, EXPONENT, EXPONENT),
    linear=(0, 1),
)
