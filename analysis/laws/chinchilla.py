"""L(N, D) = E + A / N^alpha + B / D^beta.

Hoffmann et al. (2022), Training Compute-Optimal Large Language Models, equation 2; the parametrization and
the box of starts are those of appendix D.3, equation 10: a = log A, b = log B, e = log E.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law, Published, array_namespace


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    E, A, alpha, B, beta = (params[i] for i in range(5))
    return E + A * xp.exp(-alpha * xp.log(N)) + B * xp.exp(-beta * xp.log(D))


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


COORDINATES = Coordinates(("E", "A", "alpha", "B", "beta"), {"A": {"N": "alpha"}, "B": {"D": "beta"}})

HOFFMANN_FLOPS, HOFFMANN_N, HOFFMANN_D = (1.4e18, 1.3e22), (5.7e7, 1.6e10), (2.4e8, 3.2e11)
"""Of the runs behind the constants below, as read off the figure (`public:chinchilla`)."""
MASSIVETEXT = "MassiveText, a vocabulary of 32,000"

PUBLISHED = (
    Published(
        "besiroglu",
        (1.8172, 482.01, 0.3478, 2085.43, 0.3658),
        source="Besiroglu et al. (2024), table 1",
        seen="code",
        standard_errors=(0.0257, 124.5, 0.0154, 1293.3, 0.0206),
        n_range=HOFFMANN_N,
        d_range=HOFFMANN_D,
        flops_range=HOFFMANN_FLOPS,
        data=MASSIVETEXT,
        note="runs read off a figure of Hoffmann et al.; intervals: isoflop fit public:chinchilla "
        "--drop-worst 5",
    ),
    Published(
        "hoffmann",
        (1.69, 406.4, 0.34, 410.7, 0.28),
        source="Hoffmann et al. (2022), appendix D.3, equation 10",
        seen="quoted",
        n_range=HOFFMANN_N,
        d_range=HOFFMANN_D,
        flops_range=HOFFMANN_FLOPS,
        data=MASSIVETEXT,
        note="rounded so far that it misses its own table A3 (400M parameters: 14.5B tokens instead of "
        "9.2B): use hoffmann-unrounded",
    ),
    Published(
        "hoffmann-unrounded",
        (float(np.exp(0.5267228)), float(np.exp(6.0073404)), 0.33917084, float(np.exp(6.0179186)), 0.2849083),
        source="Hoffmann et al. (2022), as in the TeX source of its arXiv version; printed in epoch-research/"
        "analyzing-chinchilla",
        seen="code",
        n_range=HOFFMANN_N,
        d_range=HOFFMANN_D,
        flops_range=HOFFMANN_FLOPS,
        data=MASSIVETEXT,
        note="short of its objective's optimum: the refit of Besiroglu et al. (2024) is lower by a sixth",
    ),
    Published(
        "hoffmann-three-digits",
        (1.69, 406.4, 0.336, 410.7, 0.283),
        source="Hoffmann et al. (2022), with exponents of three digits chosen to give its table A3",
        seen="quoted",
        n_range=HOFFMANN_N,
        d_range=HOFFMANN_D,
        flops_range=HOFFMANN_FLOPS,
        data=MASSIVETEXT,
        note="9.24B tokens for 400M parameters, 27.4B for 1B, 4.04T for 67B: table A3 to 2%",
    ),
    Published(
        "besiroglu-all-runs",
        (1.89, 463.3, 0.345, 12530.0, 0.452),
        source="Besiroglu et al. (2024), with the five outliers kept",
        seen="quoted",
        n_range=HOFFMANN_N,
        d_range=HOFFMANN_D,
        flops_range=HOFFMANN_FLOPS,
        data=MASSIVETEXT,
        note="five runs move beta from .366 to .452",
    ),
    Published(
        "sardana",
        (1.45, 33.66, 0.18, 138.9, 0.24),
        source="Sardana et al. (2024), table 1, all runs",
        seen="quoted",
        note="runs of up to 10,000 tokens a parameter",
    ),
    Published(
        "sardana-100",
        (0.17, 7.199, 0.08, 25.97, 0.13),
        source="Sardana et al. (2024), table 1, runs of up to 100 tokens a parameter",
        seen="quoted",
        note="a floor of .17 nats is no floor: these runs do not identify E",
    ),
    Published(
        "krajewski-dense",
        (0.47, 16.3, 0.126, 26.7, 0.127),
        source="Krajewski et al. (2024), table 1, dense models",
        seen="quoted",
        data="C4",
        note="the dense models beside krajewski:krajewski; compare at equal FLOPs",
    ),
)


LAW = Law(
    name="chinchilla",
    parameters=COORDINATES.parameters,
    equation="L(N, D) = E + A/N^alpha + B/D^beta",
    source="Hoffmann et al. (2022), equation 2 and appendix D.3",
    summary="a term for size and a term for data, added to a floor; compute-optimal N and D in closed form",
    conventions="C = 6 N D FLOPs; N as each set says; D tokens; nats per token",
    needs="runs at several D/N: IsoFLOPs of at least three budgets, or several budgets a size; runs at one "
    "D/N do not tell alpha from beta",
    blind_to="repeated data, warm-up and rates, the head's and attention's FLOPs, that size and data may "
    "stand in for each other (skaling)",
    published=PUBLISHED,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((-1.0, 1.0), (0.0, 25.0), (0.0, 2.0), (0.0, 25.0), (0.0, 2.0)),
    from_box=COORDINATES.from_logs("E"),
    bounds=((0.0, float("inf")), FREE, EXPONENT, FREE, EXPONENT),
    linear=(0, 1, 3),
    exponents=exponents,
    allocate=allocate,
    mirror=mirror,
)
