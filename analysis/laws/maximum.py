"""L(N, D) = E + max(A/N^alpha, B/D^beta): whichever of size and data is short decides alone.

The limit k -> 0 of `skaling` with k alpha and k beta held; the additive form is its k = 1.
"""

from __future__ import annotations

from isoflop.analysis.laws.chinchilla import COORDINATES, exponents, mirror
from isoflop.analysis.laws.law import CENTRED_TERMS, EXPONENT, FREE, Array, Law, array_namespace


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    E, A, alpha, B, beta = (params[i] for i in range(5))
    return E + xp.maximum(A * xp.exp(-alpha * xp.log(N)), B * xp.exp(-beta * xp.log(D)))


def allocate(params: Array, C: Array) -> Array:
    """Both terms equal: N_opt = (A/B)^(1/(alpha+beta)) (C/6)^(beta/(alpha+beta))."""
    _, A, alpha, B, beta = (params[i] for i in range(5))
    return (A / B) ** (1 / (alpha + beta)) * (C / 6) ** (beta / (alpha + beta))


LAW = Law(
    name="maximum",
    parameters=COORDINATES.parameters,
    equation="L(N, D) = E + max(A/N^alpha, B/D^beta)",
    source="the limit of `skaling` for k to 0",
    summary="whichever of size and data is short decides alone",
    conventions="nats per token",
    needs="runs limited by size and runs limited by data",
    blind_to="that size and data make up for each other at all",
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((0.0, 2.0), *CENTRED_TERMS),
    bounds=((0.0, float("inf")), FREE, EXPONENT, FREE, EXPONENT),
    # The loss is linear in A and B only where their term is the larger: E alone can be solved for.
    linear=(0,),
    exponents=exponents,
    allocate=allocate,
    mirror=mirror,
)
