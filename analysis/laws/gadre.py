"""L(N, D) = E + A/N^alpha + B/D^alpha: one exponent for both terms.

Gadre et al. (2024), Language models scale reliably with over-training and on downstream tasks, equation 4:
L = E + (a M^eta + b M^-eta) C^-eta with M = D/N and C = 6ND. With alpha = 2 eta this is the form above,
A = a 6^-eta, B = b 6^-eta: N_opt and D_opt both grow with the square root of C, by construction.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law


def predict(params: Array, N: Array, D: Array) -> Array:
    E, A, B, alpha = (params[i] for i in range(4))
    return E + A * jnp.exp(-alpha * jnp.log(N)) + B * jnp.exp(-alpha * jnp.log(D))


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (E, log of A/n0^alpha, log of B/d0^alpha, alpha)."""
    E, A, B, alpha = (params[i] for i in range(4))
    return jnp.stack([E, jnp.log(A) - alpha * jnp.log(n0), jnp.log(B) - alpha * jnp.log(d0), alpha])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    E, a, b, alpha = (theta[i] for i in range(4))
    return jnp.stack([E, jnp.exp(a + alpha * jnp.log(n0)), jnp.exp(b + alpha * jnp.log(d0)), alpha])


def from_box(x: Array) -> Array:
    """(e, a, b, alpha) -> (E, A, B, alpha)."""
    return jnp.stack([jnp.exp(x[0]), jnp.exp(x[1]), jnp.exp(x[2]), x[3]])


def exponents(params: Array) -> tuple[Array, Array]:
    """Both one half, whatever the parameters."""
    half = 0.5 * np.ones_like(np.asarray(params)[3])
    return half, half


def allocate(params: Array, C: Array) -> Array:
    """N_opt = (A/B)^(1/(2 alpha)) (C/6)^(1/2)."""
    _, A, B, alpha = (params[i] for i in range(4))
    return (A / B) ** (1 / (2 * alpha)) * (C / 6) ** 0.5


def mirror(params: Array, c: float, k: float) -> Array:
    """Along log D = c + k log N with k = 1 the terms trade amplitude; otherwise the exponents differ."""
    E, A, B, alpha = (params[i] for i in range(4))
    if abs(k - 1) > 1e-9:
        return np.full(4, np.nan)
    return np.array([E, B * np.exp(-alpha * c), A * np.exp(alpha * c), alpha])


LAW = Law(
    name="gadre",
    parameters=("E", "A", "B", "alpha"),
    equation="L(N, D) = E + A/N^alpha + B/D^alpha",
    source="Gadre et al. (2024), equation 4",
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-1.0, 1.0), (0.0, 25.0), (0.0, 25.0), (0.0, 2.0)),
    from_box=from_box,
    bounds=((0.0, float("inf")), FREE, FREE, EXPONENT),
    linear=(0, 1, 2),
    exponents=exponents,
    allocate=allocate,
    mirror=mirror,
)
