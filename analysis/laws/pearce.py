"""L(N, D) = E + A/(N + gamma N^(1/3))^alpha + B/D^beta: Chinchilla's law in parameters without embeddings.

Pearce and Song (2024), Reconciling Kaplan and Chinchilla Scaling Laws: N_total = N + gamma N^(1/3), since
embeddings grow with the width and blocks with its cube (at a fixed aspect ratio). gamma is 47,491 over
Chinchilla's models, at a vocabulary of 32,000. With C = 6 N D counted without embeddings too, the best N is
no power of C: its local exponent is beta/(alpha/3 + beta) for the smallest models, rises to nearly one at a
million parameters, where a larger model is hardly larger in all, and falls to beta/(alpha + beta).
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws import chinchilla
from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law, Published, Slice, array_namespace

GAMMA = 47491.0
KAPLAN_FLOPS = (10**12.95, 10**20.7)
"""FLOPs without embeddings of the best models of 3,000 to 2e9 parameters: what Pearce and Song take for the
range of Kaplan et al."""


def total(N: Array, gamma: Array) -> Array:
    """All parameters of a model that has N without embeddings."""
    xp = array_namespace(gamma)
    return N + gamma * xp.exp(xp.log(N) / 3)


def predict(params: Array, N: Array, D: Array) -> Array:
    return chinchilla.predict(params, total(N, params[5]), D)


def best_budget(params: np.ndarray, N: np.ndarray) -> np.ndarray:
    """FLOPs, 6 N D without embeddings, at which N is the best size."""
    _, A, alpha, B, beta, gamma = params
    whole = total(N, gamma)
    # The derivative in log N of both terms at fixed N D, set to zero: D^beta in terms of N.
    D = (beta * B * whole ** (alpha + 1) / (alpha * A * (N + gamma * np.cbrt(N) / 3))) ** (1 / beta)
    return 6 * N * D


def local_exponent(params: np.ndarray, N: np.ndarray) -> np.ndarray:
    """d log N / d log C of the best size without embeddings, where that size is N."""
    _, _, alpha, _, beta, gamma = params
    root = gamma * np.cbrt(N)
    slope = (N + root / 3) / (N + root)
    bend = (N + root / 9) / (N + root / 3)
    return 1 / (1 + ((1 + alpha) * slope - bend) / beta)


def fitted_exponent(params: np.ndarray, flops: tuple[float, float] = KAPLAN_FLOPS) -> float:
    """The exponent of a straight line through log N_opt against log C over a range of budgets, FLOPs: what a
    study over that range would print."""
    N = np.geomspace(1.0, 1e15, 30001)
    log_C = np.linspace(np.log(flops[0]), np.log(flops[1]), 100)
    log_N = np.interp(log_C, np.log(best_budget(params, N)), np.log(N))
    return float(np.polyfit(log_C, log_N, 1)[0])


COORDINATES = Coordinates(
    (*chinchilla.COORDINATES.parameters, "gamma"), {"A": {"N": "alpha"}, "B": {"D": "beta"}}, logs=("gamma",)
)

PUBLISHED = tuple(
    Published(
        name,
        (*params, GAMMA),
        source=f"Pearce and Song (2024), with the constants of {whose}; TeaPearce/"
        "Reconciling_Kaplan_Chinchilla_Scaling_Laws at c708e5b",
        seen="code",
        count="body",
        data=chinchilla.MASSIVETEXT,
        note=f"N ~ C^{exponent} over the range of Kaplan et al., whose exponent is .73",
    )
    for name, whose, params, exponent in (
        ("besiroglu", "Besiroglu et al. (2024)", (1.8172, 482.01, 0.3478, 2085.43, 0.3658), ".78"),
        ("hoffmann", "Hoffmann et al. (2022)", (1.6934, 406.4, 0.3392, 410.7, 0.2849), ".74"),
    )
)

LAW = Law(
    name="pearce",
    parameters=COORDINATES.parameters,
    equation="L(N, D) = E + A/(N + gamma N^(1/3))^alpha + B/D^beta",
    source="Pearce and Song (2024)",
    summary="chinchilla's law in parameters without embeddings: where Kaplan's .73 comes from",
    conventions="N without embeddings, C = 6 N D of them; D tokens; nats per token",
    needs="what chinchilla needs, and models so small that most of their parameters are embeddings",
    blind_to="the vocabulary and the aspect ratio, which gamma holds at one value each",
    drawn=Slice("N", 1e5, 1e10, (("C", 1e18),)),
    published=PUBLISHED,
    contains="chinchilla",
    competes=False,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=(*chinchilla.LAW.start_box, (4.0, 14.0)),
    from_box=COORDINATES.from_logs("E"),
    bounds=((0.0, float("inf")), FREE, EXPONENT, FREE, EXPONENT, (0.0, 23.0)),
    linear=(0, 1, 3),
)
