"""coverage(k) = exp(-A k^-beta): the share of problems with a right answer among k samples.

Brown et al. (2024), Large Language Monkeys, arXiv 2407.21787, section 3, who write exp(a k^b): a = -A, b =
-beta. The points of one curve share their problems, so that their errors move together: intervals come from
resampling problems (`isoflop coverage`), not the points of the curve. Why a power law at all, when each
problem's failures fall exponentially in k: `analysis.test_time.success_tail`.
"""

from __future__ import annotations

from isoflop.analysis.laws.coordinates import Coordinates
from isoflop.analysis.laws.law import Array, Covariate, Law, Slice, array_namespace


def predict(params: Array, N: Array, D: Array, k: Array) -> Array:
    xp = array_namespace(params)
    A, beta = params[0], params[1]
    # N and D take part for their shape alone: every law's inputs broadcast.
    return xp.exp(-A * xp.exp(-beta * xp.log(k))) + 0.0 * (N + D)


COORDINATES = Coordinates(("A", "beta"), logs=("A", "beta"))

LAW = Law(
    name="brown",
    parameters=COORDINATES.parameters,
    equation="coverage(k) = exp(-A k^-beta)",
    source="Brown et al. (2024), section 3",
    family="test-time",
    summary="the share of problems that one of k samples solves; what makes it so: isoflop coverage",
    target="pass_rate",
    sized=False,
    conventions="pass_rate: mean unbiased pass@k over problems, 0 to 1, by a perfect verifier",
    needs="pass@k at k over two decades or more, of one set of problems",
    blind_to="problems that no number of samples solves; a k beyond which none is hard enough to keep the "
    "power law going; verifiers that err",
    drawn=Slice("k", 1.0, 1e4, params=(2.0, 0.35)),
    predict=predict,
    encode=COORDINATES.encode,
    decode=COORDINATES.decode,
    start_box=((-4.0, 3.0), (-3.5, 0.5)),
    bounds=((-40.0, 10.0), (-9.0, 3.0)),
    covariates=(Covariate("k", "k", "samples of each problem", lambda N, D, C: 1.0 + 0.0 * N),),
    competes=False,
)
