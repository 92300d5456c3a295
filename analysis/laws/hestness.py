"""L(D) = E + B/D^beta: a learning curve in data, of the best model for each amount of it.

Hestness et al. (2017), Deep Learning Scaling is Predictable, Empirically, section 3: the error of a large
enough model is a power of the size of its training set over a floor. They write alpha m^beta_g + gamma with
beta_g < 0.
"""

from __future__ import annotations

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import EXPONENT, FREE, Array, Law, Slice, array_namespace

EXPONENTS = {
    "word language models": -0.066,
    "character language models": -0.0936,
    "character language models, deeper": -0.0954,
}
"""Their beta_g, as others quote it: without amplitudes, so that these predict nothing alone."""
HALVING = 0.07
"""An exponent in their middle: at it halving the error takes 2^(1/.07), 2.0e4 times the data."""


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    E, B, beta = (params[i] for i in range(3))
    # N takes part for its shape alone: every law's inputs broadcast.
    return E + B * xp.exp(-beta * xp.log(D)) + 0.0 * N


COORDINATES = Coordinates(("E", "B", "beta"), {"B": {"D": "beta"}})

LAW = Law(
    name="hestness",
    parameters=COORDINATES.parameters,
    equation="L(D) = E + B/D^beta",
    source="Hestness et al. (2017), section 3",
    summary="a learning curve in data, of models that are large enough for it",
    conventions="D tokens (the source: the size of the training set); the loss in any unit",
    needs="amounts of data over three decades, each with the best size for it",
    blind_to="size and compute; the power law begins where the model is better than guessing",
    drawn=Slice("D", 1e7, 1e13, params=(1.8, 16.0, HALVING)),
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((-1.0, 1.0), (0.0, 25.0), (0.0, 2.0)),
    from_box=COORDINATES.from_logs("E"),
    bounds=((0.0, float("inf")), FREE, EXPONENT),
    linear=(0, 1),
    has_optimum=False,
    competes=False,
)
