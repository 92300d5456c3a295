"""L(N) = (Nc/N)^alpha_N: the loss of a model trained to convergence on enough data.

Kaplan et al. (2020), Scaling Laws for Neural Language Models, equation 1.1 and table 5: alpha_N .076, Nc
8.8e13 parameters without embeddings.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Law, Published, Slice
from isoflop.analysis.laws.power_law import SCALE_BOUNDS, SCALE_START, ScaleLaw

FORM = ScaleLaw("N")

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
    predict=FORM.predict,
    encode=FORM.encode,
    decode=FORM.decode,
    start_box=SCALE_START,
    bounds=SCALE_BOUNDS,
    has_optimum=False,
    competes=False,
)
