"""B(L) = B* / L^(1/alpha_B): the batch at which time and compute are traded evenly, by the loss reached.

Kaplan et al. (2020), Scaling Laws for Neural Language Models, equation 1.4: B* 2e8 tokens, alpha_B .21, after
McCandlish et al. (2018). At the critical batch a run takes twice the fewest steps and twice the least
compute. It doubles for each fall of the loss by 13%.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Published, Slice, array_namespace

MIDDLE = 3.0
"""Loss, nats per token, at which theta has the log of the batch: B* is the batch at a loss of one nat."""
LOSS = Covariate("L", "loss", "loss reached, nats per token", lambda N, D, C: MIDDLE + 0.0 * N)


def predict(params: Array, N: Array, D: Array, L: Array) -> Array:
    xp = array_namespace(params)
    B, alpha_B = params[0], params[1]
    # N and D take part for their shape alone: every law's inputs broadcast.
    return B * xp.exp(-xp.log(L) / alpha_B) + 0.0 * (N + D)


def encode(params: Array, n0: Array, d0: Array) -> Array:
    """theta = (log of B at the middle loss, alpha_B)."""
    xp = array_namespace(params)
    return xp.stack([xp.log(params[0]) - xp.log(xp.asarray(MIDDLE)) / params[1], params[1]])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    return xp.stack([xp.exp(theta[0] + xp.log(xp.asarray(MIDDLE)) / theta[1]), theta[1]])


PUBLISHED = (
    Published(
        "kaplan",
        (2e8, 0.21),
        source="Kaplan et al. (2020), equation 1.4",
        seen="quoted",
        count="body",
        data="WebText2",
        input_loss_unit="nats per token",
        note="B* 2.1e8 in table 5",
    ),
)

LAW = Law(
    name="critical_batch",
    parameters=("B*", "alpha_B"),
    equation="B(L) = B*/L^(1/alpha_B)",
    source="Kaplan et al. (2020), equation 1.4",
    family="hyperparameters",
    summary="the critical batch from the loss reached, whatever the size",
    target="batch_tokens",
    conventions="B in tokens; L in nats per token on WebText2: another text or tokenizer has another B*",
    needs="critical batches, measured by the gradient noise or by runs at several batches, at several losses",
    blind_to="size and tokens, except through the loss; the rate, which moves with the batch",
    drawn=Slice("L", 2.0, 6.0),
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((8.0, 18.0), (0.05, 1.0)),
    bounds=(FREE, (0.01, 8.0)),
    linear=(0,),
    covariates=(LOSS,),
    sized=False,
    has_optimum=False,
)
