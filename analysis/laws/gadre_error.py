"""Err(L) = epsilon - k exp(-gamma L): the average error over downstream tasks from the loss.

Gadre et al. (2024), Language models scale reliably with over-training and on downstream tasks, equation 5;
their code (mlfoundations/scaling at a003c49, scaling/laws.py, `decay_ours`) fits the same by least squares
on the raw error, to six runs of a dataset: N 11M, 79M, 154M and 411M at 20 tokens a parameter, 11M at 320,
and 1.4B at 20. The loss is C4's validation loss, nats per token; the error is 1 less the top-1 accuracy.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Array, Covariate, Law, Published, Slice, array_namespace

MIDDLE = 2.5
"""Loss, nats per token, at which theta has the error and its slope: both are well determined where gamma is
not, over losses that span so little that the curve is all but a line."""


def predict(params: Array, N: Array, D: Array, L: Array) -> Array:
    xp = array_namespace(params)
    epsilon, k, gamma = (params[i] for i in range(3))
    return epsilon - k * xp.exp(-gamma * L) + 0.0 * (N + D)


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (error at MIDDLE, log of its slope there, log of gamma)."""
    xp = array_namespace(params)
    epsilon, k, gamma = (params[i] for i in range(3))
    log_term = xp.log(k) - gamma * MIDDLE
    return xp.stack([epsilon - xp.exp(log_term), log_term + xp.log(gamma), xp.log(gamma)])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    gamma, log_term = xp.exp(theta[2]), theta[1] - theta[2]
    return xp.stack([theta[0] + xp.exp(log_term), xp.exp(log_term + gamma * MIDDLE), gamma])


PUBLISHED = (
    Published(
        "redpajama",
        (0.85699194, 2.20648989, 0.71459051),
        source="mlfoundations/scaling at a003c49: the fit of its notebook to exp_data, mean of 17 tasks",
        seen="code",
        data="RedPajama; loss on C4's validation text",
        input_loss_unit="nats per token",
        note="after a loss that gadre predicts: .4925 for 1.4B at 640 tokens a parameter, which has .4752, "
        "and .4719 for 6.9B at 20, which has .4716",
    ),
    Published(
        "redpajama-46-tasks",
        (0.76084951, 1.32289882, 0.89070783),
        source="mlfoundations/scaling at a003c49: the fit of its notebook to exp_data, mean of 46 tasks",
        seen="code",
        data="RedPajama; loss on C4's validation text",
        input_loss_unit="nats per token",
    ),
)

LAW = Law(
    name="gadre_error",
    parameters=("epsilon", "k", "gamma"),
    equation="Err(L) = epsilon - k exp(-gamma L)",
    source="Gadre et al. (2024), equation 5",
    family="downstream",
    summary="the average error over tasks, from the validation loss",
    target="error",
    sized=False,
    conventions="error: 1 - mean top-1 accuracy, 0 to 1; L: C4 validation loss, nats per token",
    needs="models whose loss spans half a nat or more, some near chance",
    blind_to="single tasks, which are far noisier than their mean; losses on other text",
    drawn=Slice("L", 2.0, 6.0),
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.2, 0.9), (-4.0, 0.5), (-2.5, 1.5)),
    bounds=((-2.0, 2.0), (-12.0, 4.0), (-6.0, 4.0)),
    covariates=(Covariate("L", "loss", "validation loss, nats per token", lambda N, D, C: MIDDLE + 0.0 * N),),
    competes=False,
)
