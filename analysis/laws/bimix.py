"""L(r, D) = (E + B/D^beta) / r^alpha: the loss on one domain by its share and by the tokens of all.

Ge et al. (2024), BiMix: Bivariate Data Mixing Law for Language Model Pretraining, who write
A/r^alpha (B/s^beta + C) with s the steps: A is in B and in C (here E) already, and at one batch the steps are
the tokens. The form is as remembered, not confirmed against the paper.
"""

from __future__ import annotations

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Covariate, Law, Slice, array_namespace

COORDINATES = Coordinates(("E", "B", "beta", "alpha"), {"B": {"D": "beta"}})
SHARE = Covariate(
    "r",
    "share",
    "the domain's share of the training tokens, 0 to 1",
    lambda N, D, C: 0.5 + 0.0 * N,
    most=1.0,
)


def predict(params: Array, N: Array, D: Array, r: Array) -> Array:
    xp = array_namespace(params)
    E, B, beta, alpha = (params[i] for i in range(4))
    # N takes part for its shape alone: every law's inputs broadcast.
    return (E + B * xp.exp(-beta * xp.log(D))) * xp.exp(-alpha * xp.log(r)) + 0.0 * N


LAW = Law(
    name="bimix",
    parameters=COORDINATES.parameters,
    equation="L(r, D) = (E + B/D^beta)/r^alpha",
    source="Ge et al. (2024), BiMix, from memory",
    family="data",
    summary="the loss on one domain by its share and the tokens of all",
    conventions="r the domain's share of the training tokens; D all tokens; one size; nats per token",
    needs="three shares or more of the domain, each at three horizons over a decade",
    blind_to="which domains the rest is; a share of zero, where its loss is infinite; size",
    drawn=Slice("r", 0.01, 1.0, (("D", 2e10),), params=(1.6, 900.0, 0.35, 0.08)),
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((-1.0, 1.0), (0.0, 25.0), (0.0, 2.0), (0.0, 1.0)),
    from_box=COORDINATES.from_logs("E"),
    bounds=((0.0, float("inf")), FREE, EXPONENT, EXPONENT),
    linear=(0, 1),
    covariates=(SHARE,),
    has_optimum=False,
    competes=False,
)
