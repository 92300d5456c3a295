"""L(N, D) = E + ((A/N^alpha)^p + (B/D^beta)^p)^(1/p): how much do size and data make up for each other?

p = 1 is the additive form of Hoffmann et al. (2022), p to infinity the maximum. With E = 0 and
p = 1/beta it is Kaplan et al.'s (2020) L(N, D), equation 1.5, so that one fit says how near each is.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from isoflop.analysis.laws import chinchilla
from isoflop.analysis.laws.law import CENTRED_TERMS, EXPONENT, FREE, Array, Law

SHARPNESS = (float(np.log(0.2)), float(np.log(20.0)))
"""Bounds of log p: beyond them the form is that of its limit to the last digit that runs can show."""


def predict(params: Array, N: Array, D: Array) -> Array:
    E, A, alpha, B, beta, p = (params[i] for i in range(6))
    # The mean in logs: the terms' own p-th powers under- and overflow at the larger p.
    size, data = jnp.log(A) - alpha * jnp.log(N), jnp.log(B) - beta * jnp.log(D)
    return E + jnp.exp(jnp.logaddexp(p * size, p * data) / p)


def encode(params: Array, n0: float, d0: float) -> Array:
    """The theta of `chinchilla`, and log p."""
    return jnp.concatenate([chinchilla.encode(params[:5], n0, d0), jnp.log(params[5:])])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    return jnp.concatenate([chinchilla.decode(theta[:5], n0, d0), jnp.exp(theta[5:])])


def allocate(params: Array, C: Array) -> Array:
    """alpha (A/N^alpha)^p = beta (B/D^beta)^p at the optimum."""
    _, A, alpha, B, beta, p = (params[i] for i in range(6))
    G = (alpha / beta) ** (1 / ((alpha + beta) * p)) * (A / B) ** (1 / (alpha + beta))
    return G * (C / 6) ** (beta / (alpha + beta))


def mirror(params: Array, c: float, k: float) -> Array:
    """The terms swapped, as in `chinchilla`."""
    return np.append(chinchilla.mirror(params[:5], c, k), params[5])


LAW = Law(
    name="power_mean",
    parameters=("E", "A", "alpha", "B", "beta", "p"),
    equation="L(N, D) = E + ((A/N^alpha)^p + (B/D^beta)^p)^(1/p)",
    source="generalizes Hoffmann et al. (2022), equation 2, and Kaplan et al. (2020), equation 1.5",
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.0, 2.0), *CENTRED_TERMS, (-1.0, 2.0)),
    bounds=((0.0, float("inf")), FREE, EXPONENT, FREE, EXPONENT, SHARPNESS),
    linear=(0,),
    exponents=chinchilla.exponents,
    allocate=allocate,
    mirror=mirror,
)
