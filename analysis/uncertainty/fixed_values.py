"""How a forecast moves with a parameter that was fixed: all else fitted anew at values to either side."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.compute import per_token
from isoflop.analysis.constraints import Sensitivity
from isoflop.analysis.laws.constrained import constrain
from isoflop.analysis.laws.evaluate import decoded, encoded
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.fitted_law import FittedLaw
from isoflop.analysis.solver.linearize import jacobian, residuals
from isoflop.analysis.solver.search import ONE_CALL, fit_problem, search
from isoflop.analysis.solver.solver import FitProblem, Pull, Solutions, solve
from isoflop.analysis.uncertainty.identifiability import effective_variance, identify, threshold
from isoflop.analysis.uncertainty.quantities import budget_range, optimum

BEYOND = 10.0
"""The forecast is for this many times the largest budget."""
SMALL = 0.01
"""A fixed value's step as a share of it, where it has no standard error; of one that is zero, the step."""
PULLS = 8
"""Pulls to a value, each aimed past it by what the last fell short: the point is then met to rounding."""
STIFFNESS = 200.0
"""Of the pull, in thresholds per squared step."""
MET = 1e-6
"""Distance from its value, in steps, at which a point counts as met."""


def sensitivities(
    fitted: FittedLaw, table: RunTable, full_P: np.ndarray, options: FitOptions
) -> tuple[Sensitivity, ...]:
    """The sensitivity of the forecast to each fixed parameter, for each surface of a fit with parameters
    `full_P`.
    """
    found = []
    surfaces = fitted.surfaces(per_token(table), budget_range(table))
    for name, value in fitted.fixed.items():
        others = tuple((each, x) for each, x in fitted.fixed.items() if each != name)
        released = constrain(fitted.whole, others, tuple(fitted.tied.items()))
        free, p = fit_problem(table, released.law, options), released.law.parameters.index(name)
        error = _standard_error(free, table.loss_R, p)
        step = error or abs(SMALL * value) or SMALL
        start_P, values_3 = full_P[list(released.map.free)], value + step * np.array([-1.0, 0.0, 1.0])
        full_3xP = released.map.rows(_refitted(free, table.loss_R, start_P, p, values_3))
        for surface in surfaces:
            flops = BEYOND * float(surface.budgets_K[-1])
            n_3, loss_3 = optimum(surface.law, surface.params(full_3xP), flops, surface.cost)
            step_is = "standard error" if error else "1%"
            moved = Sensitivity(name, surface.group, value, step, step_is, flops, _three(n_3), _three(loss_3))
            found.append(moved)
    return tuple(found)


def _three(x_3: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = map(float, x_3)
    return low, middle, high


def _standard_error(free: FitProblem, loss_R: np.ndarray, p: int) -> float | None:
    """Of parameter `p`, from the free fit's linearization; None where the runs don't identify it."""
    solutions = search(free, loss_R, ONE_CALL)
    if not identify(free, loss_R, solutions).identified[free.law.parameters[p]]:
        return None
    theta_P, params_P = solutions.theta_SxP[solutions.best], solutions.params_SxP[solutions.best]
    J_RxP = jacobian(free, theta_P)
    slope_P = _slope(free, theta_P, p)
    variance = effective_variance(free, residuals(free, params_P, loss_R), len(params_P))
    # The delta method: the M-estimator's covariance in theta is the residuals' effective variance over J'J.
    found = float(np.sqrt(variance * slope_P @ np.linalg.pinv(J_RxP.T @ J_RxP) @ slope_P))
    return found if np.isfinite(found) and found > 0 else None


def _slope(problem: FitProblem, theta_P: np.ndarray, p: int) -> np.ndarray:
    """Derivative of natural parameter `p` in theta, by central differences."""
    step = 1e-5
    moves = step * np.concatenate([np.eye(len(theta_P)), -np.eye(len(theta_P))])
    values = decoded(problem.law, theta_P + moves, problem.centre)[:, p]
    return (values[: len(theta_P)] - values[len(theta_P) :]) / (2 * step)


def _refitted(
    free: FitProblem, loss_R: np.ndarray, start_P: np.ndarray, p: int, values_S: np.ndarray
) -> np.ndarray:
    """Parameters of the fits with number `p` at each of the values; NaN where one can't be had, SxP.

    That parameter is pulled to the value, which ends at the best fit of all with the value that is reached
    (`profiles`), and the aim is moved until that is the one asked for.
    """
    S = len(values_S)
    theta_SxP = np.repeat(encoded(free.law, start_P, free.centre)[None], S, axis=0)
    step = float(np.ptp(values_S)) / 2
    stiffness_S = np.full(S, STIFFNESS * threshold(free, loss_R, start_P) / step**2)
    past_S, ones = np.zeros(S), np.ones((1, len(loss_R)))
    end: Solutions | None = None
    for _ in range(PULLS):
        here_S = decoded(free.law, theta_SxP, free.centre)[:, p]
        slope_SxP = np.stack([_slope(free, theta_P, p) for theta_P in theta_SxP])
        origin_S = here_S - np.einsum("sp,sp->s", slope_SxP, theta_SxP)
        target_S = values_S + past_S - origin_S
        end = solve(free, theta_SxP, loss_R[None], ones, Pull(slope_SxP, target_S, stiffness_S), warm=True)
        theta_SxP = end.theta_SxP
        # What the pull fell short by, on the linearized parameter: aimed past by as much, its force is the
        # one that holds the value (the multiplier of an augmented Lagrangian; Hestenes 1969).
        past_S = target_S - np.einsum("sp,sp->s", slope_SxP, theta_SxP)
    assert end is not None
    met_S = np.abs(end.params_SxP[:, p] - values_S) <= MET * step
    return np.where(met_S[:, None], end.params_SxP, np.nan)
