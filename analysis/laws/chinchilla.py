"""L(N, D) = E + A / N^alpha + B / D^beta.

Hoffmann et al. (2022), Training Compute-Optimal Large Language Models, equation 2; the parametrization and
the box of starts are those of appendix D.3, equation 10: a = log A, b = log B, e = log E.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law


def predict(params: Array, N: Array, D: Array) -> Array:
    E, A, alpha, B, beta = (params[i] for i in range(5))
    return E + A * jnp.exp(-alpha * jnp.log(N)) + B * jnp.exp(-beta * jnp.log(D))


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (E, log of A/n0^alpha, alpha, log of B/d0^beta, beta): the terms at the table's centre."""
    # A is the term at N = 1, decades from any run: it and alpha would move together along a narrow
    # valley. The term at the table's centre and its slope there are nearly independent.
    E, A, alpha, B, beta = (params[i] for i in range(5))
    return jnp.stack([E, jnp.log(A) - alpha * jnp.log(n0), alpha, jnp.log(B) - beta * jnp.log(d0), beta])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    E, a, alpha, b, beta = (theta[i] for i in range(5))
    A, B = jnp.exp(a + alpha * jnp.log(n0)), jnp.exp(b + beta * jnp.log(d0))
    return jnp.stack([E, A, alpha, B, beta])


def from_box(x: Array) -> Array:
    """(e, a, alpha, b, beta) -> (E, A, alpha, B, beta)."""
    return jnp.stack([jnp.exp(x[0]), jnp.exp(x[1]), x[2], jnp.exp(x[3]), x[4]])


def exponents(params: Array) -> tuple[Array, Array]:
    """a = beta / (alpha + beta), b = alpha / (alpha + beta): Hoffmann et al. (2022), equation 4."""
    alpha, beta = params[2], params[4]
    return beta / (alpha + beta), alpha / (alpha + beta)


def allocate(params: Array, C: Array) -> Array:
    """N_opt = G (C/6)^a with G = (alpha A / (beta B))^(1/(alpha+beta)): Hoffmann et al. (2022), equation
    4.
    """
    _, A, alpha, B, beta = (params[i] for i in range(5))
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    return G * (C / 6) ** (beta / (alpha + beta))


def mirror(params: Array, c: float, k: float) -> Array:
    """Swap the two terms: along log D = c + k log N each is a power of the other's variable."""
    # With D = e^c N^k, B/D^beta = B e^(-beta c) / N^(k beta), and A/N^alpha = A e^(alpha c/k) / D^(alpha/k).
    E, A, alpha, B, beta = (params[i] for i in range(5))
    return np.array([E, B * np.exp(-beta * c), k * beta, A * np.exp(alpha * c / k), alpha / k])


LAW = Law(
    name="chinchilla",
    parameters=("E", "A", "alpha", "B", "beta"),
    equation="L(N, D) = E + A/N^alpha + B/D^beta",
    source="Hoffmann et al. (2022), equation 2 and appendix D.3",
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-1.0, 1.0), (0.0, 25.0), (0.0, 2.0), (0.0, 25.0), (0.0, 2.0)),
    from_box=from_box,
    bounds=((0.0, float("inf")), FREE, EXPONENT, FREE, EXPONENT),
    linear=(0, 1, 3),
    exponents=exponents,
    allocate=allocate,
    mirror=mirror,
)
