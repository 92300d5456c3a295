"""Do the data identify this parameter? A verdict for each, from profiles, mirrored optima and rival starts.

Rank alone misses both ways of failing: along one D/N ratio the two terms can be swapped at no cost while the
Jacobian keeps its rank, and a flat profile shows only away from the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtri

from isoflop.analysis.laws.evaluate import encoded, float64_on_cpu
from isoflop.analysis.solver.certificate import NEGLIGIBLE_RESIDUAL, same_optimum
from isoflop.analysis.solver.linearize import (
    influence,
    jacobian,
    overestimate_weights,
    residuals,
)
from isoflop.analysis.solver.solver import LEAST_SQUARES, FitProblem, Pull, Solutions, bounds_of, solve

WIDEST_FACTOR = 3.0
"""A parameter is identified if its 95% profile interval lies within this factor of the estimate, both
ways; an amplitude A is judged by its term A/n0^alpha at the table's centre."""
CONTINUATION_STEPS = 3
"""Steps from the estimate to that factor, each warm from the last: in one leap a problem lands in another
valley."""
LEVEL = 0.95
"""Coverage of the interval that has to lie within the factor."""
REACHED = 0.9
"""Share of the way to a profile's end that counts as there."""
END_STIFFNESS = 1e4
"""Stiffness of the pull to a profile's end, in allowances per squared distance."""
NEAR_LINE = 0.97
"""Correlation of log N and log D above which the mirrored optimum along their line is tried."""
ON_LINE = 1 - 1e-6
"""Correlation above which the runs lie on that line."""
OPEN_DIRECTION = 1e-5
"""Singular value, relative to the largest, below which a direction is open."""
TAKES_PART = 0.1
"""Share of a unit direction from which a parameter is part of it."""
MOVED = 0.02
"""Relative change of a parameter that makes two equally good optima two answers."""


@dataclass(frozen=True)
class Verdict:
    """Which parameters the data identify, why not the others, and parameters AxP that fit about as well."""

    identified: dict[str, bool]
    warnings: tuple[str, ...]
    rivals_AxP: np.ndarray


def identify(problem: FitProblem, loss_R: np.ndarray, solutions: Solutions) -> Verdict:
    """A verdict for every parameter, and a line of explanation for each way that some fail."""
    names = problem.law.parameters
    # Repeats of a cell say how noisy it is, and nothing of the surface between cells: they do not count.
    points = len(np.unique(np.stack(problem.inputs), axis=1).T)
    if points <= len(names):
        why = f"{points} distinct (N, D) for {len(names)} parameters: too few runs to tell any; add runs"
        return Verdict(dict.fromkeys(names, False), (why,), np.empty((0, len(names))))
    allowance = threshold(problem, loss_R, solutions.params_SxP[solutions.best])
    mirrored, mirror_AxP = _mirrored(problem, loss_R, solutions, allowance)
    disputed, other_AxP = _disputed(problem, solutions)
    flat, end_AxP = _flat(problem, loss_R, solutions, allowance)
    singular = _singular(problem, solutions)
    warnings = []
    if mirrored:
        warnings.append(
            f"{_listed(mirrored)} not identified: the runs lie near one line of log D against log N, where "
            "the two terms can be swapped; add runs at other tokens per parameter"
        )
    if disputed - mirrored:
        warnings.append(f"{_listed(disputed - mirrored)} not identified: equally good optima disagree on it")
    if rest := flat - mirrored - disputed:
        warnings.append(
            f"{_listed(rest)} not identified: the objective hardly rises within a factor {WIDEST_FACTOR:g} "
            "of the estimate; add runs over a wider range of sizes and tokens"
        )
    if rest := singular - flat - mirrored - disputed:
        warnings.append(
            f"{_listed(rest)} not identified: the runs leave a direction open in which several move "
            "together; add runs at other tokens per parameter and at other sizes"
        )
    failed = flat | mirrored | disputed | singular
    rivals = np.concatenate([mirror_AxP, other_AxP, end_AxP])
    return Verdict({name: name not in failed for name in names}, tuple(warnings), rivals)


def threshold(problem: FitProblem, loss_R: np.ndarray, params_P: np.ndarray, level: float = LEVEL) -> float:
    """Rise of the objective that a true value exceeds with probability 1 - level, one parameter profiled.

    For least squares this is the F test. For Huber's loss it is the robust likelihood ratio (Ronchetti 1982):
    the same, scaled by the mean square of psi over the mean of its derivative; where delta is far inside the
    residuals that mean is a density at zero, estimated over a window half their spread wide.
    """
    residual_R = residuals(problem, params_P, loss_R)
    square, curvature = _moments(problem, residual_R, len(params_P))
    quantile = float(fdtri(1, max(len(loss_R) - len(params_P), 1), level))
    return 0.5 * quantile * square / curvature + _negligible(loss_R)


def effective_variance(problem: FitProblem, residual_R: np.ndarray, parameters: int) -> float:
    """What (J'J)^-1 is multiplied by in the covariance of theta: that of an M-estimator (Huber 1964)."""
    square, curvature = _moments(problem, residual_R, parameters)
    return square / curvature**2


def _moments(problem: FitProblem, residual_R: np.ndarray, parameters: int) -> tuple[float, float]:
    """Mean square of psi, over its degrees of freedom, and mean of its derivative."""
    freedom = max(len(residual_R) - parameters, 1)
    slope_R = influence(problem, residual_R)
    # 1.4826: the median absolute deviation of a normal distribution is its standard deviation over this.
    spread = 1.4826 * float(np.median(np.abs(residual_R)))
    window = max(min(problem.delta, LEAST_SQUARES), 0.5 * spread)
    # The mean of psi' is the share of residuals within delta. Where next to none are, it is estimated as a
    # density: the share within a wider window, times delta over that window.
    near_R = (np.abs(residual_R) <= window) * overestimate_weights(problem, residual_R)
    curvature = float(near_R.mean()) * min(1.0, problem.delta / window)
    return float((slope_R**2).sum() / freedom), max(curvature, 1.0 / len(residual_R))


def _flat(
    problem: FitProblem, loss_R: np.ndarray, solutions: Solutions, allowance: float
) -> tuple[set[str], np.ndarray]:
    """Parameters whose profile stays within the allowance up to the factor on a side; the ends of those."""
    # 2P problems: each coordinate pulled down to a third of its parameter, and up to three times it, while
    # all others are fitted anew.
    P = len(problem.law.parameters)
    at = np.tile(np.arange(P), 2)
    best_P = solutions.theta_SxP[solutions.best]
    theta = np.repeat(best_P[None], 2 * P, axis=0)
    end, target = solutions, np.zeros(2 * P)
    for step in range(1, CONTINUATION_STEPS + 1):
        factor = WIDEST_FACTOR ** (step / CONTINUATION_STEPS)
        target = np.concatenate([_coordinates(problem, solutions, f) for f in (1 / factor, factor)])
        distance = np.abs(target - best_P[at])
        stiffness = END_STIFFNESS * allowance / np.maximum(distance, 1e-6) ** 2
        pull = Pull(np.eye(P)[at], target, stiffness)
        end = solve(problem, theta, loss_R[None], np.ones((1, len(loss_R))), pull, warm=True)
        theta = end.theta_SxP
    # What did not get near its end was held back by the data, not by nothing: no evidence of a flat profile.
    rise = end.objective_S - solutions.objective_S[solutions.best]
    there = np.abs(theta[np.arange(2 * P), at] - best_P[at]) >= REACHED * np.abs(target - best_P[at])
    # Not "rise <= allowance": a rise that is NaN says nothing, and counts as flat.
    low = ~(rise > allowance) & there
    names = {name for p, name in enumerate(problem.law.parameters) if low[p] or low[p + P]}
    return names, end.params_SxP[low]


def _coordinates(problem: FitProblem, solutions: Solutions, factor: float) -> np.ndarray:
    """Each coordinate of theta where its own parameter is `factor` times the estimate, the others as they
    are, within the bounds.
    """
    # In theta an amplitude is taken at the table's centre: with alpha held its own factor is that of the
    # term.
    params_P = solutions.params_SxP[solutions.best]
    P = len(params_P)
    scaled = np.tile(params_P, (P, 1))
    scaled[np.arange(P), np.arange(P)] *= factor
    theta_P = np.diagonal(encoded(problem.law, scaled, problem.centre))
    held_P = np.where(np.isfinite(theta_P), theta_P, solutions.theta_SxP[solutions.best])
    return np.clip(held_P, *bounds_of(problem.law))


def _singular(problem: FitProblem, solutions: Solutions) -> set[str]:
    """Parameters that take part in a direction in which no prediction moves, to first order.

    A profile can rise on both sides of such a point by its higher orders alone: where alpha = beta on a line
    of D against N the two terms are one, and a few runs off the line hold just their sum.
    """
    jacobian_RxP = jacobian(problem, solutions.theta_SxP[solutions.best])
    length_P = np.linalg.norm(jacobian_RxP, axis=0)
    if not np.all(np.isfinite(length_P)) or not np.all(length_P > 0):
        return set()
    _, values, rows = np.linalg.svd(jacobian_RxP / length_P, full_matrices=False)
    share = np.abs(rows[values < OPEN_DIRECTION * values[0]])
    return {name for p, name in enumerate(problem.law.parameters) if np.any(share[:, p] > TAKES_PART)}


def _mirrored(
    problem: FitProblem, loss_R: np.ndarray, solutions: Solutions, allowance: float
) -> tuple[set[str], np.ndarray]:
    """Parameters that differ at the law's mirrored optimum, where that is as good as the best."""
    x, y = np.log(problem.N_R), np.log(problem.D_R)
    nothing = np.empty((0, len(problem.law.parameters)))
    if problem.law.mirror is None or np.ptp(x) == 0 or np.ptp(y) == 0 or np.corrcoef(x, y)[0, 1] < NEAR_LINE:
        return set(), nothing
    # The line log D = c + k log N through the runs, its slope symmetric in the two.
    k = float(y.std() / x.std())
    params_P = solutions.params_SxP[solutions.best]
    with np.errstate(all="ignore"):
        other_P = np.asarray(problem.law.mirror(params_P, float(y.mean() - k * x.mean()), k), dtype=float)
    with float64_on_cpu():
        theta = np.clip(np.asarray(problem.law.encode(other_P, *problem.centre)), *bounds_of(problem.law))
    exact: set[str] = set()
    if np.corrcoef(x, y)[0, 1] > ON_LINE:
        # Where the two terms happen to be each other's mirror nothing moves, yet nothing holds them apart.
        plain_P = np.arange(1.0, 1.0 + len(params_P))
        exact = differing(
            problem.law.parameters, plain_P, np.atleast_2d(problem.law.mirror(plain_P, 0.5, k * 1.1))
        )
    if not np.all(np.isfinite(theta)):
        return exact, nothing
    # Near a line, not on it: the mirrored point is only close to an optimum, and is refined to one.
    end = solve(problem, theta[None], loss_R[None], np.ones((1, len(loss_R))))
    if not end.objective_S[0] - solutions.objective_S[solutions.best] <= allowance:
        return exact, nothing
    return exact | differing(problem.law.parameters, params_P, end.params_SxP), end.params_SxP


def _disputed(problem: FitProblem, solutions: Solutions) -> tuple[set[str], np.ndarray]:
    """Parameters on which starts that reached the best objective disagree."""
    agree_SxP = solutions.params_SxP[same_optimum(solutions.objective_S, len(problem.N_R))]
    best_P = solutions.params_SxP[solutions.best]
    distance_S = np.max(np.abs(agree_SxP - best_P) / np.maximum(np.abs(best_P), 1e-300), axis=1)
    furthest = agree_SxP[[int(np.argmax(distance_S))]]
    names = differing(problem.law.parameters, best_P, agree_SxP)
    return names, furthest if names else furthest[:0]


def differing(names: tuple[str, ...], params_P: np.ndarray, others_SxP: np.ndarray) -> set[str]:
    """Parameters that any of S other vectors has elsewhere: two equally good ones are then two answers."""
    away = np.abs(np.atleast_2d(others_SxP) - params_P) > MOVED * np.abs(params_P)
    return {name for name, moved in zip(names, np.any(away, axis=0), strict=True) if moved}


def _negligible(loss_R: np.ndarray) -> float:
    return 0.5 * len(loss_R) * NEGLIGIBLE_RESIDUAL**2


def _listed(names: set[str]) -> str:
    return f"{', '.join(sorted(names))} {'are' if len(names) > 1 else 'is'}"
