"""MMLU = w . log u (layers, width, ff_width, T) + level: the Performance Law, accuracy from shape and data.

Wu and Tang (2024), Performance Law of Large Language Models, arXiv 2408.09895, as the authors' planner has it
(wuch15/performance-law-planner at 3ffa946, plan.py): T is training tokens in trillions, at most the
parameters in billions; u = exp(-((10/ff_width + 20/width) gamma layers)^2) discounts deep and narrow shapes,
gamma for unstable precision. MMLU is in percent, 25 at least, and flattens above 90.
"""

from __future__ import annotations

import math

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Published, Slice, array_namespace

LAYERS, WIDTH, FF_WIDTH, TRILLIONS = 32.0, 4096.0, 14336.0, 8.0
"""The shape and tokens at which theta has the level, and that a prediction without a shape is made at."""
LOG_MIDDLE = tuple(map(math.log, (LAYERS, WIDTH, FF_WIDTH, TRILLIONS)))
GUESSING = 25.0


def predict(params: Array, N: Array, D: Array, layers: Array, width: Array, ff_width: Array) -> Array:
    xp = array_namespace(params)
    gamma, level = params[4], params[5]
    trillions = xp.minimum(D / 1e12, N / 1e9)
    log_discount = -(((10.0 / ff_width + 20.0 / width) * gamma * layers) ** 2)
    logs = [xp.log(x) + log_discount for x in (layers, width, ff_width, trillions)]
    score = sum(params[i] * x for i, x in enumerate(logs)) + level
    flattened = 90.0 + 10.0 * xp.tanh(0.1 * score - 9.0)
    return xp.where(score > 90.0, flattened, xp.maximum(score, GUESSING))


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (the four weights, log of gamma, the score without a discount at the middle shape)."""
    xp = array_namespace(params)
    middle = params[5] + sum(params[i] * x for i, x in enumerate(LOG_MIDDLE))
    return xp.stack([*(params[i] for i in range(4)), xp.log(params[4]), middle])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    level = theta[5] - sum(theta[i] * x for i, x in enumerate(LOG_MIDDLE))
    return xp.stack([*(theta[i] for i in range(4)), xp.exp(theta[4]), level])


PUBLISHED = (
    Published(
        "wu",
        (13.95018192, 0.23072027, -0.48523402, 5.39801689, 1.0, 9.195410648934768),
        source="wuch15/performance-law-planner at 3ffa946, plan.py",
        seen="code",
        data="public models of 2024",
        note="gamma 1 is its default for stable precision; no interval is published",
    ),
)

LAW = Law(
    name="performance",
    parameters=("w_layers", "w_width", "w_ff_width", "w_tokens", "gamma", "level"),
    equation="MMLU = w_layers ln(u layers) + w_width ln(u width) + w_ff_width ln(u ff_width) "
    "+ w_tokens ln(u T) "
    "+ level, u = exp(-((10/ff_width + 20/width) gamma layers)^2), T = min(D/1e12, N/1e9)",
    source="Wu and Tang (2024), arXiv 2408.09895, and their planner",
    family="downstream",
    summary="MMLU from layers, width, feed-forward width and tokens: the Performance Law",
    target="mmlu",
    conventions="MMLU in percent; N all parameters; D tokens",
    needs="models of many shapes: dozens of public ones for six parameters",
    blind_to="data, its quality and its age, and all that is done after pre-training; experts",
    drawn=Slice("D", 1e12, 2e13, (("N", 7e10), ("layers", 80.0), ("width", 8192.0), ("ff_width", 28672.0))),
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((2.0, 20.0), (-1.0, 3.0), (-3.0, 1.0), (1.0, 9.0), (-1.0, 1.0), (45.0, 80.0)),
    bounds=(FREE, FREE, FREE, FREE, (-4.0, 3.0), FREE),
    covariates=(
        Covariate("layers", "depth", "layers", lambda N, D, C: LAYERS + 0.0 * N),
        Covariate("width", "width", "hidden size", lambda N, D, C: WIDTH + 0.0 * N),
        Covariate("ff_width", "ff_width", "feed-forward size", lambda N, D, C: FF_WIDTH + 0.0 * N),
    ),
    competes=False,
)
