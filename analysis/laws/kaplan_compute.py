"""L(C) = (Cc/C)^alpha_C on the compute envelope: the best loss that a budget buys, and nothing of its split.

Kaplan et al. (2020), equation 1.3 and table 5. Their Cc, 3.1e8, is in PF-days: 3.1e8 * 8.64e19 FLOPs (several
public copies read it as FLOPs). Here Cc is in FLOPs, and only runs that no cheaper run beats are fitted.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Published, array_namespace

PF_DAY = 1e15 * 24 * 3600
"""FLOPs."""
COMPUTE_EFFICIENT = {"N": (1.3e9, 0.73), "B": (2.0e6, 0.24), "S": (5.4e3, 0.03), "D": (2e10, 0.27)}
"""Scale and exponent of the best size (parameters), batch (tokens), steps (at least) and tokens, in powers of
C_min in PF-days: Kaplan et al. (2020), table 6. 6 N B S is C_min at every budget."""


def predict(params: Array, N: Array, D: Array, C: Array) -> Array:
    xp = array_namespace(params)
    Cc, alpha_C = params[0], params[1]
    # N and D take part for their shape alone: every law's inputs broadcast.
    return xp.exp(alpha_C * (xp.log(Cc) - xp.log(C))) + 0.0 * (N + D)


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (log of the loss at 6 n0 d0 FLOPs, alpha_C)."""
    xp = array_namespace(params)
    Cc, alpha_C = params[0], params[1]
    return xp.stack([alpha_C * (xp.log(Cc) - xp.log(6 * n0 * d0)), alpha_C])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    level, alpha_C = theta[0], theta[1]
    return xp.stack([6 * n0 * d0 * xp.exp(level / alpha_C), alpha_C])


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
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-1.0, 3.0), (0.005, 1.0)),
    bounds=(FREE, (1e-3, 8.0)),
    covariates=(Covariate("C", "flops", "training compute, FLOPs", lambda N, D, C: C),),
    envelope=True,
)
