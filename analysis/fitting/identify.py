"""Can the data tell this parameter? A verdict for each, from profiles and mirrored optima.

Rank alone misses both ways of failing: along one D/N ratio the two terms can be swapped at no cost while the
Jacobian keeps its rank, and a flat profile shows only away from the optimum.
"""

from __future__ import annotations

import numpy as np
from scipy.special import fdtri

from analysis.fitting.certificate import NEGLIGIBLE_RESIDUAL, residuals, same_optimum
from analysis.fitting.solver import LEAST_SQUARES, Design, Solutions, solve
from analysis.precision import float64_on_cpu, vectorized

FACTOR = 3.0
"""A parameter is identified if its 95% profile interval lies within this factor of the estimate, both
ways.
"""
STEPS = 3
LEVEL = 0.95
NEAR_LINE = 0.97
"""Correlation of log N and log D above which the mirrored optimum along their line is tried."""
ON_LINE = 1 - 1e-6
"""Correlation above which the design is that line."""
MOVED = 0.02
"""Relative change of a parameter that makes two equally good optima two answers."""


def identify(
    design: Design, loss_R: np.ndarray, solutions: Solutions
) -> tuple[dict[str, bool], tuple[str, ...]]:
    """A verdict for every parameter, and a line of explanation for each way that some fail."""
    names = design.law.parameters
    best = int(np.nanargmin(solutions.objective_S))
    points = len(np.unique(np.stack([design.N_R, design.D_R]), axis=1).T)
    if points <= len(names):
        why = f"{points} distinct (N, D) for {len(names)} parameters: too few runs to tell any; add runs"
        return dict.fromkeys(names, False), (why,)
    allowance = threshold(design, loss_R, solutions.params_SxP[best])
    flat = _flat(design, loss_R, solutions, best, allowance)
    mirrored = _mirrored(design, loss_R, solutions, best, allowance)
    rivals = _rivals(design, solutions, best)
    warnings = []
    if mirrored:
        warnings.append(
            f"{_listed(mirrored)} not identified: the runs lie near one line of log D against log N, where "
            "the two terms can be swapped; add runs at other tokens per parameter"
        )
    if rivals - mirrored:
        warnings.append(f"{_listed(rivals - mirrored)} not identified: equally good optima disagree on it")
    if rest := flat - mirrored - rivals:
        warnings.append(
            f"{_listed(rest)} not identified: the objective hardly rises within a factor {FACTOR:g} of the "
            "estimate; add runs over a wider range of sizes and tokens"
        )
    failed = flat | mirrored | rivals
    return {name: name not in failed for name in names}, tuple(warnings)


def threshold(design: Design, loss_R: np.ndarray, params_P: np.ndarray) -> float:
    """Rise of the objective that a true parameter value exceeds with probability 5%, one parameter profiled.

    For least squares this is the F test. For Huber's loss it is the robust likelihood ratio (Ronchetti 1982):
    the same, scaled by the mean square of psi over the mean of its derivative; where delta is far inside the
    residuals that mean is a density at zero, estimated over a window half their spread wide.
    """
    residual_R = residuals(design, params_P, loss_R)
    freedom = max(len(loss_R) - len(params_P), 1)
    quantile = float(fdtri(1, freedom, LEVEL))
    slope_R = np.clip(residual_R, -design.delta, design.delta)
    spread = 1.4826 * float(np.median(np.abs(residual_R)))
    window = max(min(design.delta, LEAST_SQUARES), 0.5 * spread)
    curvature = float((np.abs(residual_R) <= window).mean()) * min(1.0, design.delta / window)
    curvature = max(curvature, 1.0 / len(residual_R))
    return 0.5 * quantile * float((slope_R**2).sum() / freedom) / curvature + _negligible(loss_R)


def _flat(design: Design, loss_R: np.ndarray, solutions: Solutions, best: int, allowance: float) -> set[str]:
    """Parameters whose profile stays within the allowance up to the factor, on either side."""
    P = len(design.law.parameters)
    theta = np.repeat(solutions.theta_SxP[best][None], 2 * P, axis=0)
    free = np.tile(1.0 - np.eye(P), (2, 1))
    moved = np.arange(2 * P), np.tile(np.arange(P), 2)
    end = solutions
    for step in range(1, STEPS + 1):
        factor = FACTOR ** (step / STEPS)
        theta[moved] = np.concatenate(
            [_coordinates(design, solutions.params_SxP[best], f) for f in (1 / factor, factor)]
        )
        end = solve(design, theta, loss_R[None], np.ones((1, len(loss_R))), free)
        theta = end.theta_SxP.copy()
    rise = end.objective_S - solutions.objective_S[best]
    low = ~(rise > allowance)
    return {name for p, name in enumerate(design.law.parameters) if low[p] or low[p + P]}


def _coordinates(design: Design, params_P: np.ndarray, factor: float) -> np.ndarray:
    """Each coordinate of theta where its own parameter is `factor` times the estimate, the others as they
    are.
    """
    P = len(params_P)
    scaled = np.tile(params_P, (P, 1))
    scaled[np.arange(P), np.arange(P)] *= factor
    n0, d0 = design.centre
    with float64_on_cpu():
        theta = np.asarray(vectorized(design.law.encode, (0, None, None))(scaled, n0, d0))
    return np.diagonal(theta)


def _mirrored(
    design: Design, loss_R: np.ndarray, solutions: Solutions, best: int, allowance: float
) -> set[str]:
    """Parameters that differ at the law's mirrored optimum, where that is as good as the best."""
    x, y = np.log(design.N_R), np.log(design.D_R)
    if design.law.mirror is None or np.ptp(x) == 0 or np.ptp(y) == 0 or np.corrcoef(x, y)[0, 1] < NEAR_LINE:
        return set()
    k = float(y.std() / x.std())
    params_P = solutions.params_SxP[best]
    n0, d0 = design.centre
    with np.errstate(all="ignore"):
        other_P = np.asarray(design.law.mirror(params_P, float(y.mean() - k * x.mean()), k), dtype=float)
    with float64_on_cpu():
        theta = np.asarray(design.law.encode(other_P, n0, d0))
    exact: set[str] = set()
    if np.corrcoef(x, y)[0, 1] > ON_LINE:
        # Where the two terms happen to be each other's mirror nothing moves, yet nothing holds them apart.
        plain_P = np.arange(1.0, 1.0 + len(params_P))
        exact = _differing(design, plain_P, np.atleast_2d(design.law.mirror(plain_P, 0.5, k * 1.1)))
    if not np.all(np.isfinite(theta)):
        return exact
    end = solve(design, theta[None], loss_R[None], np.ones((1, len(loss_R))))
    if not end.objective_S[0] - solutions.objective_S[best] <= allowance:
        return exact
    return exact | _differing(design, params_P, end.params_SxP)


def _rivals(design: Design, solutions: Solutions, best: int) -> set[str]:
    """Parameters on which starts that reached the best objective disagree."""
    agree = same_optimum(solutions.objective_S, len(design.N_R))
    return _differing(design, solutions.params_SxP[best], solutions.params_SxP[agree])


def _differing(design: Design, params_P: np.ndarray, others_SxP: np.ndarray) -> set[str]:
    away = np.abs(np.atleast_2d(others_SxP) - params_P) > MOVED * np.abs(params_P)
    return {name for name, moved in zip(design.law.parameters, np.any(away, axis=0), strict=True) if moved}


def _negligible(loss_R: np.ndarray) -> float:
    return 0.5 * len(loss_R) * NEGLIGIBLE_RESIDUAL**2


def _listed(names: set[str]) -> str:
    return f"{', '.join(sorted(names))} {'are' if len(names) > 1 else 'is'}"
