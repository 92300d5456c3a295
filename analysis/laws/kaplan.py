"""L(N, D) = ((Nc/N)^(alpha_N/alpha_D) + Dc/D)^alpha_D: no irreducible loss, and the terms added in a power.

Kaplan et al. (2020), Scaling Laws for Neural Language Models, equation 1.5; N is non-embedding there (the
blocks alone: `--count body`). Their fit: alpha_N .076, alpha_D .103, Nc 6.4e13, Dc 1.8e13 tokens.
"""

from __future__ import annotations

import jax.numpy as jnp

from isoflop.analysis.laws.law import CENTRED_TERMS, FREE, Array, Law

POSITIVE = (1e-3, 8.0)


def predict(params: Array, N: Array, D: Array) -> Array:
    Nc, alpha_N, Dc, alpha_D = (params[i] for i in range(4))
    # In logs: where a start has a small alpha_D the inner power would overflow.
    size = alpha_N / alpha_D * (jnp.log(Nc) - jnp.log(N))
    return jnp.exp(alpha_D * jnp.logaddexp(size, jnp.log(Dc) - jnp.log(D)))


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (log of (Nc/n0)^alpha_N, alpha_N, log of (Dc/d0)^alpha_D, alpha_D): logs of L(n0, infinity) and
    of L(infinity, d0).
    """
    Nc, alpha_N, Dc, alpha_D = (params[i] for i in range(4))
    size, data = alpha_N * (jnp.log(Nc) - jnp.log(n0)), alpha_D * (jnp.log(Dc) - jnp.log(d0))
    return jnp.stack([size, alpha_N, data, alpha_D])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    size, alpha_N, data, alpha_D = (theta[i] for i in range(4))
    return jnp.stack([n0 * jnp.exp(size / alpha_N), alpha_N, d0 * jnp.exp(data / alpha_D), alpha_D])


def exponents(params: Array) -> tuple[Array, Array]:
    """a = alpha_D / (alpha_N + alpha_D), b = alpha_N / (alpha_N + alpha_D)."""
    alpha_N, alpha_D = params[1], params[3]
    return alpha_D / (alpha_N + alpha_D), alpha_N / (alpha_N + alpha_D)


def allocate(params: Array, C: Array) -> Array:
    """Where alpha_N/alpha_D (Nc/N)^(alpha_N/alpha_D) = Dc/D with D = C/(6N)."""
    Nc, alpha_N, Dc, alpha_D = (params[i] for i in range(4))
    # The derivative in log N of the sum inside the outer power, at fixed C, set to zero.
    ratio = alpha_N / alpha_D
    return (ratio * Nc**ratio * C / (6 * Dc)) ** (1 / (1 + ratio))


LAW = Law(
    name="kaplan",
    parameters=("Nc", "alpha_N", "Dc", "alpha_D"),
    equation="L(N, D) = ((Nc/N)^(alpha_N/alpha_D) + Dc/D)^alpha_D",
    source="Kaplan et al. (2020), equation 1.5",
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=CENTRED_TERMS,
    bounds=(FREE, POSITIVE, FREE, POSITIVE),
    exponents=exponents,
    allocate=allocate,
)
