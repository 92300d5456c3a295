"""L(C1, C2) = (Cc/C1)^alpha_1 (Cc/C2)^alpha_2: one domain's loss from the FLOPs spent on each of two.

Chen et al. (2024), arXiv 2410.08527, FLP-M: a law like this for each domain's loss, then accuracy from the
losses (`flp_mixture_accuracy`). The product form is from memory, not confirmed against the paper.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Array, Covariate, Law, Slice, array_namespace

MIDDLE = 1e20
"""FLOPs of each domain at which theta has the log of the loss."""


def predict(params: Array, N: Array, D: Array, C1: Array, C2: Array) -> Array:
    xp = array_namespace(params)
    alpha_1, alpha_2 = params[1], params[2]
    log_Cc = xp.log(params[0])
    logs = alpha_1 * (log_Cc - xp.log(C1)) + alpha_2 * (log_Cc - xp.log(C2))
    return xp.exp(logs) + 0.0 * (N + D)


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (log of the loss at MIDDLE FLOPs of each, alpha_1, alpha_2)."""
    xp = array_namespace(params)
    total = params[1] + params[2]
    return xp.stack([total * (xp.log(params[0]) - xp.log(xp.asarray(MIDDLE))), params[1], params[2]])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    log_Cc = theta[0] / (theta[1] + theta[2]) + xp.log(xp.asarray(MIDDLE))
    return xp.stack([xp.exp(log_Cc), theta[1], theta[2]])


LAW = Law(
    name="flp_mixture",
    parameters=("Cc", "alpha_1", "alpha_2"),
    equation="L(C1, C2) = (Cc/C1)^alpha_1 (Cc/C2)^alpha_2",
    source="Chen et al. (2024), arXiv 2410.08527, FLP-M; the form from memory",
    family="downstream",
    summary="a domain's loss from the FLOPs spent on it and on another: the first step of FLP-M",
    sized=False,
    conventions="C1, C2: FLOPs on each domain's tokens; nats per token of one domain",
    needs="several mixtures at several budgets: one mixture does not tell alpha_1 from alpha_2",
    blind_to="a floor of the loss; a domain without any tokens",
    has_optimum=False,
    drawn=Slice("C1", 1e18, 1e22, (("C2", 1e20),), (1e27, 0.04, 0.01)),
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.0, 2.0), (0.005, 0.2), (0.005, 0.2)),
    bounds=((-8.0, 8.0), (1e-4, 4.0), (1e-4, 4.0)),
    covariates=(
        Covariate("C1", "flops_1", "FLOPs on the domain itself", lambda N, D, C: 0.5 * C),
        Covariate("C2", "flops_2", "FLOPs on the other domain", lambda N, D, C: 0.5 * C),
    ),
    competes=False,
)
