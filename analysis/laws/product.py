"""L(N, D) = E + A / (N^alpha D^beta): one term, a product of two powers.

What the "general form" L_min + A N^-a C^-c D^-d comes to where C is a product of powers of N and D, as 6ND
is: its three exponents are then two. Along an IsoFLOP it is monotone in N, so it has no interior optimum: a
form that is here to lose.
"""

from __future__ import annotations

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law, array_namespace


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    E, A, alpha, beta = (params[i] for i in range(4))
    return E + A * xp.exp(-alpha * xp.log(N) - beta * xp.log(D))


COORDINATES = Coordinates(("E", "A", "alpha", "beta"), {"A": {"N": "alpha", "D": "beta"}})

LAW = Law(
    name="product",
    parameters=COORDINATES.parameters,
    equation="L(N, D) = E + A/(N^alpha D^beta)",
    source="the product form; compare Rosenfeld et al. (2020), section 4",
    summary="one product of powers of N and D over a floor",
    conventions="nats per token",
    needs="runs at several D/N",
    blind_to="a best size: along an IsoFLOP it falls to one end",
    has_optimum=False,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((-1.0, 1.0), (0.0, 50.0), (0.0, 2.0), (0.0, 2.0)),
    from_box=COORDINATES.from_logs("E"),
    bounds=((0.0, float("inf")), FREE, EXPONENT, EXPONENT),
    linear=(0, 1),
)
