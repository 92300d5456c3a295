"""R(C) = R0 + (A - R0) / (1 + (Cmid/C)^B): reward of reinforcement learning over its compute.

Khatri et al. (2025), The Art of Scaling Reinforcement Learning Compute for LLMs, arXiv 2510.13786, equation
1: A the asymptote, B the efficiency, Cmid the compute of half the gain, R0 the reward before. Their unit of
compute is GPU hours, and any will do: only Cmid has one.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import Array, Covariate, Law, Slice, array_namespace


def predict(params: Array, N: Array, D: Array, C: Array) -> Array:
    xp = array_namespace(params)
    R0, A, Cmid, B = (params[i] for i in range(4))
    # 1/(1 + exp(-x)) is (1 + tanh(x/2))/2, which overflows nowhere.
    gained = 0.5 * (1.0 + xp.tanh(0.5 * B * (xp.log(C) - xp.log(Cmid))))
    return R0 * (1.0 - gained) + A * gained + 0.0 * (N + D)


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (R0, A, log of Cmid over 6 n0 d0, log of B)."""
    xp = array_namespace(params)
    R0, A, Cmid, B = (params[i] for i in range(4))
    return xp.stack([R0, A, xp.log(Cmid) - xp.log(6 * n0 * d0), xp.log(B)])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    return xp.stack([theta[0], theta[1], 6 * n0 * d0 * xp.exp(theta[2]), xp.exp(theta[3])])


LAW = Law(
    name="khatri",
    parameters=("R0", "A", "Cmid", "B"),
    equation="R(C) = R0 + (A - R0)/(1 + (Cmid/C)^B)",
    source="Khatri et al. (2025), equation 1",
    family="test-time",
    summary="reward of reinforcement learning: a sigmoid in log compute, up to an asymptote A",
    target="reward",
    sized=False,
    conventions="reward: mean pass rate on held-out prompts, 0 to 1; C in any unit (GPU hours in the paper)",
    needs="one run's reward beyond Cmid; until then A and Cmid move together",
    blind_to="a run that goes unstable; the first steps, which the paper leaves out; other prompts",
    drawn=Slice("C", 1e2, 1e6, params=(0.35, 0.61, 5e3, 1.2)),
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((0.05, 0.5), (0.4, 1.0), (-4.0, 4.0), (-1.0, 2.0)),
    bounds=((0.0, float("inf")), (0.0, float("inf")), (-15.0, 15.0), (-4.0, 4.0)),
    linear=(0, 1),
    covariates=(Covariate("C", "flops", "compute of reinforcement learning", lambda N, D, C: C),),
    competes=False,
)
