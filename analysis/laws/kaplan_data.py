"""L(D) = (Dc/D)^alpha_D: the loss of a large model stopped early on a limited text.

Kaplan et al. (2020), Scaling Laws for Neural Language Models, equation 1.2 and table 5: alpha_D .095, Dc
5.4e13 tokens.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Law, Published, Slice
from isoflop.analysis.laws.power_law import SCALE_BOUNDS, SCALE_START, ScaleLaw

FORM = ScaleLaw("D")

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
    predict=FORM.predict,
    encode=FORM.encode,
    decode=FORM.decode,
    start_box=SCALE_START,
    bounds=SCALE_BOUNDS,
    has_optimum=False,
    competes=False,
)
