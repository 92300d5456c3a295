"""L(r) = c + k exp(sum_j t_j r_j): the loss on one text by the shares of the domains trained on.

Ye et al. (2024), Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling Performance,
equation 7, one law for the loss on each domain. Shares sum to one: the last domain's t is zero here, and k
has its part. `mixture` alone is of two domains, its column `share` the first one's; `mixture(web,code,books)`
reads `share_web` and `share_code`.
"""

from __future__ import annotations

import functools

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Slice, array_namespace
from isoflop.base.errors import UserError

SLOPE = (-60.0, 60.0)
"""Bounds of a t: beyond them a share of a tenth changes the term by a factor of 400."""


def predict(params: Array, N: Array, D: Array, *shares: Array) -> Array:
    xp = array_namespace(params)
    log = sum(params[2 + j] * share for j, share in enumerate(shares))
    # N and D take part for their shape alone: every law's inputs broadcast.
    return params[0] + params[1] * xp.exp(log) + 0.0 * (N + D)


def encode(params: Array, n0: Array, d0: Array) -> Array:
    """theta = (c, log of the term where all shares are equal, t)."""
    xp = array_namespace(params)
    domains = len(params) - 1
    level = xp.log(params[1]) + sum(params[p] for p in range(2, len(params))) / domains
    return xp.stack([params[0], level, *(params[p] for p in range(2, len(params)))])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    domains = len(theta) - 1
    k = xp.exp(theta[1] - sum(theta[p] for p in range(2, len(theta))) / domains)
    return xp.stack([theta[0], k, *(theta[p] for p in range(2, len(theta)))])


@functools.cache
def law_of(*domains: str) -> Law:
    """The law of these domains, two or more; the shares of all but the last are columns `share_NAME`.

    Raises `UserError` for fewer than two, and for a name that is there twice or empty.
    """
    if len(domains) < 2 or len(set(domains)) < len(domains) or not all(domains):
        raise UserError(
            f"mixture({','.join(domains)}): name two different domains or more, as in mixture(web,code,books)"
        )
    equal = 1.0 / len(domains)
    covariates = tuple(
        Covariate(
            f"r_{name}",
            f"share_{name}",
            f"share of the training tokens that is {name}, 0 to 1",
            lambda N, D, C: equal + 0.0 * N,
            signed=True,
            least=0.0,
            most=1.0,
        )
        for name in domains[:-1]
    )
    terms = " + ".join(f"t_{name} r_{name}" for name in domains[:-1])
    name = f"mixture({','.join(domains)})"
    return _law(name, covariates, tuple(f"t_{each}" for each in domains[:-1]), f"L(r) = c + k exp({terms})")


def _law(name: str, covariates: tuple[Covariate, ...], slopes: tuple[str, ...], equation: str) -> Law:
    return Law(
        name=name,
        parameters=("c", "k", *slopes),
        equation=equation,
        source="Ye et al. (2024), equation 7",
        family="data",
        summary="the loss on one text by the shares of the domains trained on",
        conventions="shares of the training tokens, 0 to 1; one size and one budget; nats per token",
        needs="mixtures whose shares differ, three more of them than domains, at one size and budget; "
        "--metric loss_NAME for each text",
        blind_to="size and tokens, and so how the best mixture moves with them; repetition",
        drawn=Slice(covariates[0].symbol, 0.01, 1.0, params=(1.4, 1.2, *(-3.0 for _ in slopes))),
        predict=predict,
        encode=encode,
        decode=decode,
        start_box=((0.0, 3.0), (-4.0, 2.0), *((-8.0, 8.0) for _ in slopes)),
        bounds=((0.0, float("inf")), FREE, *(SLOPE for _ in slopes)),
        linear=(0, 1),
        covariates=covariates,
        sized=False,
        has_optimum=False,
        competes=False,
    )


SHARE = Covariate(
    "r",
    "share",
    "share of the training tokens that is the first domain, 0 to 1",
    lambda N, D, C: 0.5 + 0.0 * N,
    signed=True,
    least=0.0,
    most=1.0,
)
LAW = _law("mixture", (SHARE,), ("t",), "L(r) = c + k exp(t r)")
