"""L(N, D) = E + max(A/N^alpha, B/D^beta): whichever of size and data is short decides alone.

The limit k -> 0 of `skaling` with k alpha and k beta held; the additive form is its k = 1.
"""

from __future__ import annotations

import jax.numpy as jnp

from isoflop.analysis.laws.chinchilla import decode, encode, exponents, mirror
from isoflop.analysis.laws.law import CENTRED_TERMS, EXPONENT, FREE, Array, Law


def predict(params: Array, N: Array, D: Array) -> Array:
    E, A, alpha, B, beta = (params[i] for i in range(5))
    return E + jnp.maximum(A * jnp.exp(-alpha * jnp.log(N)), B * jnp.exp(-beta * jnp.log(D)))


def allocate(params: Array, C: Array) -> Array:
    """Both terms equal: N_opt = (A/B)^(1/(alpha+beta)) (C/6)^(beta/(alpha+beta))."""
    _, A, alpha, B, beta = (params[i] for i in range(5))
    return (A / B) ** (1 / (alpha + beta)) * (C / 6) ** (beta / (alpha + beta))


LAW = Law(
    name="maximum",
    parameters=("E", "A", "alpha", "B", "beta"),
    equation="L(N, D) = E + max(A/N^alpha, B/D^beta)",
    source="the limit of `skaling` for k to 0",
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.0, 2.0), *CENTRED_TERMS),
    bounds=((0.0, float("inf")), FREE, EXPONENT, FREE, EXPONENT),
    # The loss is linear in A and B only where their term is the larger: E alone can be solved for.
    linear=(0,),
    exponents=exponents,
    allocate=allocate,
    mirror=mirror,
)
