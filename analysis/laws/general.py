"""L = E + A N^-a C^-c D^-d: the "general form" that some texts print, in three variables that are two.

With C = 6ND its three exponents can be shifted against each other at no change of the loss, and along an
IsoFLOP it is monotone in N. Here to show what a fit must say of such a form: nothing is identified.
"""

from __future__ import annotations

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Covariate, Law, array_namespace


def predict(params: Array, N: Array, D: Array, C: Array) -> Array:
    xp = array_namespace(params)
    E, A, a, c, d = (params[i] for i in range(5))
    return E + A * xp.exp(-a * xp.log(N) - c * xp.log(C) - d * xp.log(D))


COORDINATES = Coordinates(("E", "A", "a", "c", "d"), {"A": {"N": "a", "C": "c", "D": "d"}})

LAW = Law(
    name="general",
    parameters=COORDINATES.parameters,
    equation="L(N, D, C) = E + A/(N^a C^c D^d)",
    source="no paper's; a textbook form",
    summary="one product of powers of N, C and D: the form that must lose",
    conventions="C as the table counts it",
    needs="nothing identifies it under C = 6 N D: three exponents of two variables",
    blind_to="a best size: along an IsoFLOP it falls to one end",
    has_optimum=False,
    competes=False,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((-1.0, 1.0), (0.0, 75.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)),
    from_box=COORDINATES.from_logs("E"),
    bounds=((0.0, float("inf")), FREE, EXPONENT, EXPONENT, EXPONENT),
    linear=(0, 1),
    covariates=(Covariate("C", "flops", "training compute, FLOPs", lambda N, D, C: C),),
)
