"""Profiles: how fast the objective rises as one quantity is held away from its estimate.

Any function of the parameters has one: each parameter, the exponents, N_opt and the loss at a budget. A
stiff pull towards a target, on the function linearized where it stands and again where that leads, ends at a
point that minimizes the objective among all with the same value, whatever value that is: it lies on the
profile exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.laws.evaluate import decoded, float64_on_cpu
from isoflop.analysis.result import Profile
from isoflop.analysis.solver.linearize import jacobian, residuals
from isoflop.analysis.solver.solver import FitProblem, Pull, Solutions, solve
from isoflop.analysis.uncertainty.identifiability import threshold

DISTANCES = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0])
"""Distances of a profile's points, in units of where a parabola would cross the threshold."""
WIDENING_FACTOR = 3.0
"""Factor on the distances where a side has not crossed it."""
LINEARIZATIONS = 4
"""Linearizations of the function on the way to a point."""
WIDENINGS = 3
"""How often the distances are widened: to 27 times what a parabola needs, a side that is still open stays
so."""
POINT_STIFFNESS = 200.0
"""Stiffness of the pull to a point, in thresholds per squared half-interval: the point is met to a
percent, and the Hessian stays well conditioned. Softer than the pull to a profile's end, where only having
been reached counts."""
THETA_STEP = 1e-4
"""Step in theta of a quantity's central differences: the cube root of rounding, and a little more."""


@dataclass(frozen=True)
class Quantity:
    """A function of the parameters: `values` maps params_BxP to B values."""

    name: str
    values: Callable[[np.ndarray], np.ndarray]
    positive: bool = False
    """Followed on a logarithmic scale."""


def profiles(
    problem: FitProblem,
    loss_R: np.ndarray,
    solutions: Solutions,
    quantities: tuple[Quantity, ...],
    thresholds_Q: np.ndarray | None = None,
) -> dict[str, Profile]:
    """The profile of each of Q quantities about the best solution.

    `thresholds_Q`: the rise that bounds each interval; by default the 95% one of `identifiability.threshold`.
    """
    best = solutions.best
    theta_P, params_P = solutions.theta_SxP[best], solutions.params_SxP[best]
    if thresholds_Q is None:
        thresholds_Q = np.full(len(quantities), threshold(problem, loss_R, params_P))
    centre_Q = _values(quantities, params_P[None])[:, 0]
    scale_Q = _spans(problem, loss_R, quantities, theta_P)
    found: list[list[tuple[float, float]]] = [[(c, 0.0)] for c in centre_Q]
    # All quantities, sides and distances are problems of one batch; only what has not crossed its threshold
    # yet is tried again further out.
    lacking = np.array([(q, side) for q in range(len(quantities)) for side in (-1.0, 1.0)])
    for widening in range(WIDENINGS):
        q_S = np.repeat(lacking[:, 0].astype(int), len(DISTANCES))
        offset_S = (
            np.repeat(lacking[:, 1], len(DISTANCES))
            * np.tile(DISTANCES, len(lacking))
            * WIDENING_FACTOR**widening
        )
        target_S = centre_Q[q_S] + offset_S * scale_Q[q_S]
        value_S, rise_S = _follow(
            problem, loss_R, solutions, quantities, q_S, target_S, thresholds_Q, scale_Q
        )
        for q, value, rise in zip(q_S, value_S, rise_S, strict=True):
            if np.isfinite(value) and np.isfinite(rise):
                found[q].append((float(value), float(rise)))
        lacking = np.array([
            (q, side) for q, side in lacking
            if not _crossed(found[int(q)], centre_Q[int(q)], side, thresholds_Q[int(q)])
        ])  # fmt: skip
        if not len(lacking):
            break
    return {
        quantity.name: _profile(quantity, centre_Q[q], found[q], float(thresholds_Q[q]))
        for q, quantity in enumerate(quantities)
    }


def constrained_rises(
    problem: FitProblem, loss_BxR: np.ndarray, weight_BxR: np.ndarray, solutions: Solutions, free: Solutions,
    quantities: tuple[Quantity, ...],
) -> np.ndarray:  # fmt: skip
    """Rise of each of B resampled objectives, from its own optimum `free`, to where each of Q quantities has
    the value that the table's fit gave it: BxQ draws of the profile's deviance at the truth.
    """
    best = solutions.best
    theta_P, params_P = solutions.theta_SxP[best], solutions.params_SxP[best]
    Q, B = len(quantities), len(free.objective_S)
    centre_Q = _values(quantities, params_P[None])[:, 0]
    # S = Q B problems, quantity by quantity: each resample is held at each quantity's value in turn.
    q_S, b_S = np.repeat(np.arange(Q), B), np.tile(np.arange(B), Q)
    allowance_Q = np.full(Q, threshold(problem, loss_BxR[0], params_P))
    scale_Q = _spans(problem, loss_BxR[0], quantities, theta_P)
    theta_SxP = np.repeat(theta_P[None], len(q_S), axis=0)
    losses = np.broadcast_to(loss_BxR, (B, loss_BxR.shape[1]))[b_S]
    weights = np.broadcast_to(weight_BxR, (B, loss_BxR.shape[1]))[b_S]
    end = solutions
    for _ in range(2):
        pull = _pull(problem, quantities, q_S, centre_Q[q_S], theta_SxP, allowance_Q, scale_Q)
        end = solve(problem, theta_SxP, losses, weights, pull, warm=True)
        theta_SxP = end.theta_SxP
    return np.maximum((end.objective_S - free.objective_S[b_S]).reshape(Q, B).T, 0.0)


def _follow(problem, loss_R, solutions, quantities, q_S, target_S, thresholds_Q, scale_Q):
    """(value, rise) at S points of the profiles of quantities q_S, near their targets."""
    best = solutions.best
    theta_SxP = np.repeat(solutions.theta_SxP[best][None], len(q_S), axis=0)
    end = solutions
    for _ in range(LINEARIZATIONS):
        pull = _pull(problem, quantities, q_S, target_S, theta_SxP, thresholds_Q, scale_Q)
        end = solve(problem, theta_SxP, loss_R[None], np.ones((1, len(loss_R))), pull, warm=True)
        theta_SxP = end.theta_SxP
    # Taken where the problem ended, not at its target: the point lies on the profile at whatever value it
    # has.
    value_QxS = _values(quantities, end.params_SxP)
    return value_QxS[q_S, np.arange(len(q_S))], end.objective_S - solutions.objective_S[best]


def _pull(problem, quantities, q_S, target_S, theta_SxP, thresholds_Q, scale_Q) -> Pull:
    """Towards the targets, on each quantity as linearized where its problem stands."""
    # A quantity without a value here (no optimum at this budget, say) pulls nowhere.
    value_S, slope_SxP = _linearized(problem, quantities, q_S, theta_SxP)
    # value + slope (theta' - theta) = target, solved for slope theta'.
    aim_S = target_S - value_S + np.einsum("sp,sp->s", slope_SxP, theta_SxP)
    usable_S = np.isfinite(aim_S) & np.all(np.isfinite(slope_SxP), axis=1)
    stiffness_S = np.where(usable_S, POINT_STIFFNESS * thresholds_Q[q_S] / scale_Q[q_S] ** 2, 0.0)
    return Pull(np.where(usable_S[:, None], slope_SxP, 0.0), np.where(usable_S, aim_S, 0.0), stiffness_S)


def _linearized(problem, quantities, q_S, theta_SxP):
    """Value (S) and gradient in theta (SxP) of quantity q_S at theta, by central differences."""
    S, P = theta_SxP.shape
    # M = 1 + 2P points about each theta, decoded in one call: where it stands, and a step up and down each
    # coordinate.
    moves = THETA_STEP * np.concatenate([np.zeros((1, P)), np.eye(P), -np.eye(P)])
    theta_MxSxP = theta_SxP[None] + moves[:, None]
    params = decoded(problem.law, theta_MxSxP.reshape(-1, P), problem.centre).reshape(-1, S, P)
    values_MxS = np.empty(params.shape[:2])
    for q, quantity in enumerate(quantities):
        mine = q_S == q
        if mine.any():
            part = _values((quantity,), params[:, mine].reshape(-1, P))[0]
            values_MxS[:, mine] = part.reshape(len(moves), -1)
    return values_MxS[0], ((values_MxS[1 : P + 1] - values_MxS[P + 1 :]) / (2 * THETA_STEP)).T


def _values(quantities: tuple[Quantity, ...], params_BxP: np.ndarray) -> np.ndarray:
    """Each quantity (its log, where positive) at each parameter vector, QxB."""
    with np.errstate(all="ignore"):
        rows = [np.asarray(q.values(params_BxP), dtype=float) for q in quantities]
        return np.stack([np.log(r) if q.positive else r for q, r in zip(quantities, rows, strict=True)])


def _spans(problem, loss_R, quantities, theta_P) -> np.ndarray:
    """Two standard errors of each quantity by the Gauss-Newton Hessian: a unit for the distances to try."""
    Q = len(quantities)
    _, slope_QxP = _linearized(problem, quantities, np.arange(Q), np.repeat(theta_P[None], Q, axis=0))
    with float64_on_cpu():
        params_P = np.asarray(problem.law.decode(theta_P, *problem.centre))
    # The delta method with covariance s^2 (J'J)^-1. It only sets the scale of the search: a Huber fit's true
    # covariance differs by a factor that the widening makes up for.
    J_RxP = np.nan_to_num(jacobian(problem, theta_P))
    residual_R = residuals(problem, params_P, loss_R)
    variance = float(np.mean(residual_R**2)) + 1e-24
    values, vectors = np.linalg.eigh(J_RxP.T @ J_RxP)
    # Floored: along a direction that the runs leave open the distance to try is long, not infinite.
    values = np.maximum(values, 1e-10 * values[-1])
    covariance = variance * (vectors / values) @ vectors.T
    with np.errstate(all="ignore"):
        span_Q = 2.0 * np.sqrt(np.einsum("qp,pr,qr->q", slope_QxP, covariance, slope_QxP))
    return np.clip(np.nan_to_num(span_Q, nan=1.0, posinf=1.0), 1e-9, 2.0)


def _crossed(points: list[tuple[float, float]], centre: float, side: float, allowance: float) -> bool:
    return any(rise > allowance and (value - centre) * side > 0 for value, rise in points)


def _profile(quantity: Quantity, centre: float, points: list, allowance: float) -> Profile:
    values, rises = np.array(sorted(points)).T
    ends = []
    for side in (-1.0, 1.0):
        keep = (values - centre) * side >= 0
        x, y = np.abs(values[keep] - centre), rises[keep]
        order = np.argsort(x)
        ends.append(_crossing(x[order], y[order], allowance, side, centre))
    if quantity.positive:
        values, centre = np.exp(values), float(np.exp(centre))
        ends = [None if end is None else float(np.exp(end)) for end in ends]
    return Profile(
        estimate=float(centre),
        interval=(ends[0], ends[1]),
        threshold=allowance,
        values=tuple(values.tolist()),
        rises=tuple(rises.tolist()),
    )


def _crossing(x_K: np.ndarray, rise_K: np.ndarray, allowance: float, side: float, centre: float):
    """Beyond the last value at which the rise is within the allowance, interpolated in its square root: what
    lies between two valleys belongs to the interval.
    """
    # The estimate itself has a rise of zero, so that there is always one.
    k = int(np.flatnonzero(rise_K <= allowance)[-1]) + 1
    if k == len(rise_K):
        return None
    # Near a minimum the rise is quadratic: its root is close to a straight line.
    root = np.sqrt(np.maximum(rise_K, 0.0))
    here, there, level = root[k - 1], root[k], np.sqrt(allowance)
    share = (level - here) / (there - here) if there > here else 1.0
    return float(centre + side * (x_K[k - 1] + share * (x_K[k] - x_K[k - 1])))
