"""L(N, D) = E + (A/N^alpha + B/D^beta)^k: how much do size and data make up for each other?

"Skaling" (arXiv 2608.07222): published values of k lie between .31 and .45. k = 1 is the additive form of
Hoffmann et al. (2022); k to 0, with k alpha and k beta held, is the maximum of two terms. With E = 0,
beta = 1 and k = alpha_D it is Kaplan et al.'s (2020) L(N, D), equation 1.5. One fit says how near each is.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws import chinchilla
from isoflop.analysis.laws.law import CENTRED_TERMS, EXPONENT, FREE, Array, Law, array_namespace

OUTER_EXPONENT = (float(np.log(1 / 20)), float(np.log(5.0)))
"""Bounds of log k: below them the form is that of its limit to the last digit that runs can show."""


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    E, A, alpha, B, beta, k = (params[i] for i in range(6))
    # The sum in logs: the terms themselves under- and overflow at the smaller k.
    size, data = xp.log(A) - alpha * xp.log(N), xp.log(B) - beta * xp.log(D)
    return E + xp.exp(k * xp.logaddexp(size, data))


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (E, k log(A/n0^alpha), k alpha, k log(B/d0^beta), k beta, log k)."""
    xp = array_namespace(params)
    # Each term to the power k, as it would be without the other: its size and its slope are what runs far
    # from the other term show, whatever k is.
    E, A, alpha, B, beta, k = (params[i] for i in range(6))
    size, data = xp.log(A) - alpha * xp.log(n0), xp.log(B) - beta * xp.log(d0)
    return xp.stack([E, k * size, k * alpha, k * data, k * beta, xp.log(k)])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    k = xp.exp(theta[5])
    scaled = xp.stack([theta[0], *(theta[i] / k for i in range(1, 5))])
    return xp.concatenate([chinchilla.COORDINATES.decode(scaled, n0, d0), k[None]])


def exponents(params: Array) -> tuple[Array, Array]:
    """Those of the sum inside: an increasing function of it has its minima at the same N and D."""
    return chinchilla.exponents(params[:5])


def allocate(params: Array, C: Array) -> Array:
    """That of the sum inside."""
    return chinchilla.allocate(params[:5], C)


def mirror(params: Array, c: float, k: float) -> Array:
    """The terms swapped, as in `chinchilla`."""
    return np.append(chinchilla.mirror(params[:5], c, k), params[5])


LAW = Law(
    name="skaling",
    parameters=("E", "A", "alpha", "B", "beta", "k"),
    equation="L(N, D) = E + (A/N^alpha + B/D^beta)^k",
    source="arXiv 2608.07222; generalizes Hoffmann et al. (2022), equation 2, and Kaplan et al. (2020), "
    "equation 1.5",
    summary="the two terms added in a power k: how far size and data make up for each other",
    conventions="C = 6 N D FLOPs; D tokens; nats per token",
    needs="IsoFLOPs of at least four budgets with wide ranges of N: k shows where "
    "both terms are alike and where one is small",
    blind_to="repeated data, rates; published values of k are .31 to .45",
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.0, 2.0), *CENTRED_TERMS, (-2.0, 1.0)),
    bounds=((0.0, float("inf")), FREE, EXPONENT, FREE, EXPONENT, OUTER_EXPONENT),
    linear=(0,),
    contains="chinchilla",
    exponents=exponents,
    allocate=allocate,
    mirror=mirror,
)
