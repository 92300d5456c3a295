"""log10 test = -exchange log10 train + per_elo Elo + level: compute at play that a strength takes.

Jones (2021), Scaling Scaling Laws with Board Games, arXiv 2104.03113, section 4: at equal Elo, ten times the
training compute is worth 10^1.2 = 15.8 times the compute at test time. Elo is that of Hex on boards of up to
nine, 0 for perfect play; train is in FLOPs, test in FLOPs a move.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Published, Slice, array_namespace

LOG_10 = 2.302585092994046


def predict(params: Array, N: Array, D: Array, C: Array, elo: Array) -> Array:
    xp = array_namespace(params)
    exchange, per_elo, level = (params[i] for i in range(3))
    return xp.exp(LOG_10 * (per_elo * elo + level) - exchange * xp.log(C)) + 0.0 * (N + D)


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (exchange, per_elo in thousands, log10 of test at Elo 0 and 6 n0 d0 FLOPs)."""
    xp = array_namespace(params)
    exchange, per_elo, level = (params[i] for i in range(3))
    return xp.stack([exchange, 1e3 * per_elo, level - exchange * xp.log(6 * n0 * d0) / LOG_10])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    level = theta[2] + theta[0] * xp.log(6 * n0 * d0) / LOG_10
    return xp.stack([theta[0], 1e-3 * theta[1], level])


PUBLISHED = (
    Published(
        "hex",
        (1.2, 0.004, 29.0),
        source="Jones (2021), section 4",
        seen="quoted",
        data="Hex, boards of 3 to 9",
        note="printed to two digits: a rate of exchange, no forecast of a strength",
    ),
)

LAW = Law(
    name="jones",
    parameters=("exchange", "per_elo", "level"),
    equation="log10 test = -exchange log10 C + per_elo Elo + level",
    source="Jones (2021), section 4",
    family="test-time",
    summary="test-time compute against training compute at equal strength of play",
    target="test_flops",
    sized=False,
    conventions="C: FLOPs of training; test_flops: FLOPs a move; Elo 0 for perfect play",
    needs="agents of several training budgets, each played at several search budgets",
    blind_to="tasks other than Hex; the floor and the ceiling of strength, where no exchange holds",
    drawn=Slice("C", 1e12, 1e17, (("Elo", -500.0),)),
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.2, 3.0), (0.5, 10.0), (0.0, 20.0)),
    bounds=((0.0, 20.0), (-100.0, 100.0), FREE),
    covariates=(
        Covariate("C", "flops", "training compute, FLOPs", lambda N, D, C: C),
        Covariate("Elo", "elo", "strength wanted, 0 for perfect play", lambda N, D, C: 0.0 * N, signed=True),
    ),
    competes=False,
)
