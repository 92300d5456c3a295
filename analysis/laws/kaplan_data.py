"""L(D) = (Dc/D)^alpha_D: the loss of a large model stopped early on a limited text.

Kaplan et al. (2020), Scaling Laws for Neural Language Models, equation 1.2 and table 5: alpha_D .095, Dc
5.4e13 tokens.
"""

from __future__ import annotations

from isoflop.analysis.laws.kaplan_size import EXPONENT, START
from isoflop.analysis.laws.law import FREE, Array, Law, Published, Slice, array_namespace


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    Dc, alpha_D = params[0], params[1]
    # N takes part for its shape alone: every law's inputs broadcast.
    return xp.exp(alpha_D * (xp.log(Dc) - xp.log(D))) + 0.0 * N


def encode(params: Array, n0: Array, d0: Array) -> Array:
    """theta = (log of the loss at d0, alpha_D)."""
    xp = array_namespace(params)
    return xp.stack([params[1] * (xp.log(params[0]) - xp.log(xp.asarray(d0))), params[1]])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    return xp.stack([d0 * xp.exp(theta[0] / theta[1]), theta[1]])


PUBLISHED = (
    Published(
        "kaplan",
        (5.4e13, 0.095),
        source="Kaplan et al. (2020), equation 1.2 and table 5",
        seen="quoted",
        d_range=(2.2e7, 2.3e10),
        count="body",
        data="WebText2",
        note="D is the size of the text, which early-stopped runs repeat; table 2's fit with N has Dc 1.8e13 "
        "and .103",
    ),
)

LAW = Law(
    name="kaplan_data",
    parameters=("Dc", "alpha_D"),
    equation="L(D) = (Dc/D)^alpha_D",
    source="Kaplan et al. (2020), equation 1.2",
    summary="the loss of a large model by the size of its text alone, without a floor",
    conventions="D distinct tokens, repeated until the held-out loss rises; nats per token",
    needs="texts over two decades of tokens, under a model that none of them limits",
    blind_to="size and compute; an irreducible loss",
    drawn=Slice("D", 1e7, 1e13),
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=START,
    bounds=(FREE, EXPONENT),
    has_optimum=False,
    competes=False,
)
