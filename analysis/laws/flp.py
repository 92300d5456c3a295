"""accuracy(L) = chance + slope max(L* - L, 0): nothing above a loss L*, a line in the loss below it.

Chen et al. (2024), Scaling Laws for Predicting Downstream Performance in LLMs, arXiv 2410.08527 (FLP): the
loss from FLOPs by a power law (`kaplan_compute`), then accuracy from the loss by a line that is fitted past
emergence only. Here emergence is a parameter, with an interval and a verdict, instead of a choice of runs:
the line past it is the same.
"""

from __future__ import annotations

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import Array, Covariate, Law, Slice, array_namespace

MIDDLE = 2.5
"""Loss, nats per token, at which a prediction that names none is made."""


def predict(params: Array, N: Array, D: Array, L: Array) -> Array:
    xp = array_namespace(params)
    chance, slope, threshold = (params[i] for i in range(3))
    return chance + slope * xp.maximum(threshold - L, 0.0) + 0.0 * (N + D)


COORDINATES = Coordinates(("chance", "slope", "L*"), logs=("slope",))


LAW = Law(
    name="flp",
    parameters=COORDINATES.parameters,
    equation="accuracy(L) = chance + slope max(L* - L, 0)",
    source="Chen et al. (2024), arXiv 2410.08527, FLP",
    family="downstream",
    summary="accuracy by chance down to a loss L*, then a line in the loss: emergence as a parameter",
    target="accuracy",
    sized=False,
    conventions="accuracy: 0 to 1; L: training loss, nats per token",
    needs="models on both sides of L*, three or more below it",
    blind_to="the top, where accuracy must flatten (bhagia)",
    drawn=Slice("L", 1.6, 3.5, params=(0.25, 0.5, 2.4)),
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((0.0, 0.5), (-3.0, 1.5), (1.0, 6.0)),
    bounds=((0.0, 1.0), (-12.0, 6.0), (0.0, 20.0)),
    linear=(0, 1),
    covariates=(Covariate("L", "loss", "training loss, nats per token", lambda N, D, C: MIDDLE + 0.0 * N),),
    competes=False,
)
