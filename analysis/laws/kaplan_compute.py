"""L(C) = (Cc/C)^alpha_C on the compute envelope: the best loss that a budget buys, and nothing of its split.

Kaplan et al. (2020), equation 1.3 and table 5. Their Cc, 3.1e8, is in PF-days: 3.1e8 * 8.64e19 FLOPs (several
public copies read it as FLOPs). Here Cc is in FLOPs, and only runs that no cheaper run beats are fitted.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Law, Published, Slice
from isoflop.analysis.laws.power_law import COMPUTE, SCALE_BOUNDS, SCALE_START, ScaleLaw

PF_DAY = 1e15 * 24 * 3600
"""FLOPs."""
COMPUTE_EFFICIENT = {"N": (1.3e9, 0.73), "B": (2.0e6, 0.24), "S": (5.4e3, 0.03), "D": (2e10, 0.27)}
"""Scale and exponent of the best size (parameters), batch (tokens), steps (at least) and tokens, in powers of
C_min in PF-days: Kaplan et al. (2020), table 6. 6 N B S is C_min at every budget."""


FORM = ScaleLaw("C")

PUBLISHED = (
    Published(
        "kaplan",
        (3.1e8 * PF_DAY, 0.050),
        source="Kaplan et al. (2020), equation 1.3 and table 5: compute at the critical batch, C_min",
        seen="quoted",
        count="body",
        data="WebText2",
    ),
    Published(
        "kaplan-naive",
        (1.6e7 * PF_DAY, 0.057),
        source="Kaplan et al. (2020), table 5: compute as it was spent at a fixed batch",
        seen="quoted",
        count="body",
        data="WebText2",
        note="2.239 at 1e21 FLOPs, where the form for C_min gives 2.352",
    ),
)

LAW = Law(
    name="kaplan_compute",
    parameters=("Cc", "alpha_C"),
    equation="L(C) = (Cc/C)^alpha_C on the envelope",
    source="Kaplan et al. (2020), equation 1.3",
    summary="the best loss that a compute budget buys, a power of C without a floor",
    conventions="Cc in FLOPs (the paper prints PF-days: 8.64e19 FLOPs); nats per token",
    needs="runs on the envelope over two decades of C or more",
    blind_to="how a budget is split between N and D; an irreducible loss",
    drawn=Slice("C", 1e17, 1e24),
    published=PUBLISHED,
    predict=FORM.predict,
    encode=FORM.encode,
    decode=FORM.decode,
    start_box=SCALE_START,
    bounds=SCALE_BOUNDS,
    covariates=(COMPUTE,),
    envelope=True,
)
