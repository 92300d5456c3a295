"""accuracy(L1, L2) = 1 / (1 + exp(-(level - slope_1 L1 - slope_2 L2))): a task's accuracy from two domains'
losses.

Chen et al. (2024), arXiv 2410.08527, FLP-M, second step: they map the domains' losses to accuracy with a
network of two layers. This is its smallest member, one unit and a logistic output: with the dozen models that
such a fit has, more units are not identified.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Slice, array_namespace

MIDDLE = 2.5
"""Loss of each domain, nats per token, at which theta has the log odds."""


def predict(params: Array, N: Array, D: Array, L1: Array, L2: Array) -> Array:
    xp = array_namespace(params)
    level, slope_1, slope_2 = (params[i] for i in range(3))
    # 1/(1 + exp(-x)) is (1 + tanh(x/2))/2, which overflows nowhere.
    return 0.5 * (1.0 + xp.tanh(0.5 * (level - slope_1 * L1 - slope_2 * L2))) + 0.0 * (N + D)


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (log odds at the middle losses, slope_1, slope_2)."""
    xp = array_namespace(params)
    return xp.stack([params[0] - MIDDLE * (params[1] + params[2]), params[1], params[2]])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    return xp.stack([theta[0] + MIDDLE * (theta[1] + theta[2]), theta[1], theta[2]])


LAW = Law(
    name="flp_mixture_accuracy",
    parameters=("level", "slope_1", "slope_2"),
    equation="accuracy(L1, L2) = 1/(1 + exp(-(level - slope_1 L1 - slope_2 L2)))",
    source="Chen et al. (2024), arXiv 2410.08527, FLP-M, with one unit for their network",
    family="downstream",
    summary="a task's accuracy from the losses of two domains: the second step of FLP-M",
    target="accuracy",
    sized=False,
    conventions="accuracy: 0 to 1; L1, L2: nats per token of each domain",
    needs="models of several mixtures past emergence, whose two losses do not move together",
    blind_to="chance and the top, where accuracy flattens elsewhere than at 0 and 1",
    drawn=Slice("L1", 1.5, 3.5, (("L2", 1.5),), (4.0, 1.2, 0.6)),
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-4.0, 4.0), (-0.5, 4.0), (-0.5, 4.0)),
    bounds=((-40.0, 40.0), FREE, FREE),
    covariates=(
        Covariate("L1", "loss_1", "one domain's loss", lambda N, D, C: MIDDLE + 0.0 * N),
        Covariate("L2", "loss_2", "the other's loss", lambda N, D, C: MIDDLE + 0.0 * N),
    ),
    competes=False,
)
