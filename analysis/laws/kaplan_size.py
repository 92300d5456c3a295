"""L(N) = (Nc/N)^alpha_N: the loss of a model trained to convergence on enough data.

Kaplan et al. (2020), Scaling Laws for Neural Language Models, equation 1.1 and table 5: alpha_N .076, Nc
8.8e13 parameters without embeddings.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import FREE, Array, Law, Published, Slice, array_namespace

START = ((-1.0, 3.0), (0.005, 1.0))
"""Log of the loss at the table's centre, and the exponent."""
EXPONENT = (1e-3, 8.0)


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    Nc, alpha_N = params[0], params[1]
    # D takes part for its shape alone: every law's inputs broadcast.
    return xp.exp(alpha_N * (xp.log(Nc) - xp.log(N))) + 0.0 * D


def encode(params: Array, n0: Array, d0: Array) -> Array:
    """theta = (log of the loss at n0, alpha_N)."""
    xp = array_namespace(params)
    return xp.stack([params[1] * (xp.log(params[0]) - xp.log(xp.asarray(n0))), params[1]])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    return xp.stack([n0 * xp.exp(theta[0] / theta[1]), theta[1]])


PUBLISHED = (
    Published(
        "kaplan",
        (8.8e13, 0.076),
        source="Kaplan et al. (2020), equation 1.1 and table 5",
        seen="quoted",
        n_range=(768.0, 1.5e9),
        count="body",
        data="WebText2",
        note="in the limit of much data and training: fits with N and D, or N and steps, have Nc 6.4e13 and "
        "6.5e13",
    ),
)

LAW = Law(
    name="kaplan_size",
    parameters=("Nc", "alpha_N"),
    equation="L(N) = (Nc/N)^alpha_N",
    source="Kaplan et al. (2020), equation 1.1",
    summary="the loss of a converged model by its size alone, without a floor",
    conventions="N without embeddings (the blocks alone); nats per token",
    needs="sizes over two decades, each trained until more tokens change nothing",
    blind_to="data and compute; an irreducible loss",
    drawn=Slice("N", 1e6, 1e12),
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=START,
    bounds=(FREE, EXPONENT),
    has_optimum=False,
    competes=False,
)
