"""L(N, D) = E + A/N^alpha + B/D^alpha: one exponent for both terms.

Gadre et al. (2024), Language models scale reliably with over-training and on downstream tasks, equation 4:
L = E + (a M^eta + b M^-eta) C^-eta with M = D/N and C = 6ND. With alpha = 2 eta this is the form above,
A = a 6^-eta, B = b 6^-eta: N_opt and D_opt both grow with the square root of C, by construction.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law, Published, array_namespace


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    E, A, B, alpha = (params[i] for i in range(4))
    return E + A * xp.exp(-alpha * xp.log(N)) + B * xp.exp(-alpha * xp.log(D))


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


COORDINATES = Coordinates(("E", "A", "B", "alpha"), {"A": {"N": "alpha"}, "B": {"D": "alpha"}})

PUBLISHED = tuple(
    Published(
        name,
        # They print L = E + a N^-alpha + b 6^(-alpha/2) D^-alpha; here A = a, B = b 6^(-alpha/2).
        (E, A, b * 6 ** (-alpha / 2), alpha),
        source="Gadre et al. (2024); mlfoundations/scaling at a003c49",
        seen="code",
        n_range=(1.1e7, 4.11e8),
        data=f"{data}, loss on C4's validation text",
        note="four parameters on five runs: E is not identified (docs/published-fits.md)",
    )
    for name, data, A, b, alpha, E in (
        ("c4", "C4", 113.69, 189.5, 0.2425, 1.508),
        ("redpajama", "RedPajama", 166.2, 366.7, 0.2729, 1.837),
        ("refinedweb", "RefinedWeb", 125.1, 246.2, 0.2544, 1.735),
    )
)


LAW = Law(
    name="gadre",
    parameters=COORDINATES.parameters,
    equation="L(N, D) = E + A/N^alpha + B/D^alpha",
    source="Gadre et al. (2024), equation 4",
    summary="chinchilla with one exponent for both terms: N and D grow with the square root of C",
    conventions="C = 6 N D FLOPs; D tokens; nats per token",
    needs="runs at two or more D/N; five runs determine little (docs/published-fits.md)",
    blind_to="any split of compute other than a = b = 1/2",
    published=PUBLISHED,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((-1.0, 1.0), (0.0, 25.0), (0.0, 25.0), (0.0, 2.0)),
    from_box=COORDINATES.from_logs("E"),
    bounds=((0.0, float("inf")), FREE, FREE, EXPONENT),
    linear=(0, 1, 2),
    exponents=exponents,
    allocate=allocate,
    mirror=mirror,
)
