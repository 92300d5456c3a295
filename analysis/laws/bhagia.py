"""accuracy(L) = top - drop / (1 + exp(-k (L - L0))): task accuracy as a sigmoid of the task's loss.

Bhagia et al. (2024), Establishing Task Scaling Laws via Compute-Efficient Model Ladders, step 2 of two: step
1 is a law of the task's loss in N and D (`chinchilla` on that loss as the metric), and `TwoStep` chains the
two. The form is that of their code (allenai/OLMo-ladder at 67a3f44, src/scaling/fitting_functions.py,
`sigmoid`), with a = -drop from -1 to 0 and b = top from 0 to 1; L is the task's bits per byte of right
answers.
"""

from __future__ import annotations

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import Array, Covariate, Law, Published, Slice, array_namespace

MIDDLE = 1.0
"""Bits per byte at which a prediction that names no loss is made."""


def predict(params: Array, N: Array, D: Array, L: Array) -> Array:
    xp = array_namespace(params)
    drop, k, L0, top = (params[i] for i in range(4))
    # 1/(1 + exp(-x)) is (1 + tanh(x/2))/2, which overflows nowhere.
    return top - 0.5 * drop * (1.0 + xp.tanh(0.5 * k * (L - L0))) + 0.0 * (N + D)


COORDINATES = Coordinates(("drop", "k", "L0", "top"), logs=("drop", "k"))


LADDER = "OLMo 2's mixture, ladder of 190M to 1.3B parameters at 1 to 10 times 20 tokens a parameter"
SCRIPT = (
    "allenai/OLMo-ladder at 67a3f44: src/scripts/step2.py on the runs beside it, least squares on accuracy, "
    "the first tenth of each run left out, means of five checkpoints, a point (0, 1) added"
)
PUBLISHED = (
    Published(
        "hellaswag",
        (0.72974889, 12.76511159, 0.76677201, 0.9918679),
        source=SCRIPT,
        seen="code",
        data=LADDER,
        input_loss_unit="bits per byte",
        input_loss_range=(0.76, 1.13),
        note="fitted from .76 to 1.13 bits per byte; .843 for their 13B model, which has .834",
    ),
    Published(
        "arc-easy",
        (0.64147201, 4.21231677, 0.73767122, 1.0),
        source=SCRIPT,
        seen="code",
        data=LADDER,
        input_loss_unit="bits per byte",
        input_loss_range=(0.68, 1.55),
        note="fitted from .68 to 1.55 bits per byte; .819 for their 13B model, which has .872",
    ),
)

LAW = Law(
    name="bhagia",
    parameters=COORDINATES.parameters,
    equation="accuracy(L) = top - drop/(1 + exp(-k (L - L0)))",
    source="Bhagia et al. (2024), step 2",
    family="downstream",
    summary="a task's accuracy as a sigmoid of its loss: the second of two steps from N and D",
    target="accuracy",
    sized=False,
    conventions="accuracy: 0 to 1; L: the task's own loss, bits per byte of the right answer",
    needs="models on both sides of L0: from chance to well above it",
    blind_to="a task whose accuracy is chance over the whole ladder; what moves accuracy at equal loss",
    drawn=Slice("L", 0.3, 1.6),
    published=PUBLISHED,
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((-2.0, 0.0), (-0.5, 3.0), (0.3, 4.0), (0.4, 1.0)),
    bounds=((-8.0, 0.0), (-4.0, 6.0), (0.0, 20.0), (0.0, 1.0)),
    covariates=(Covariate("L", "loss", "the task's loss, bits per byte", lambda N, D, C: MIDDLE + 0.0 * N),),
    competes=False,
)
