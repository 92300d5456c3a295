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
from isoflop.analysis.solver.solver import FitProblem, solve
from isoflop.analysis.uncertainty.identifiability import effective_variance, identify
from isoflop.analysis.uncertainty.quantities import budget_range, optimum
from isoflop.base.errors import UserError

BEYOND = 10.0
"""The forecast is for this many times the largest budget."""
SMALL = 0.01
"""A fixed value's step as a share of it, where it has no standard error; of one that is zero, the step."""


def sensitivities(
    fitted: FittedLaw, table: RunTable, full_P: np.ndarray, options: FitOptions
) -> tuple[Sensitivity, ...]:
    """The sensitivity of the forecast to each fixed parameter, for each surface of a fit with parameters
    `full_P`; none of a law that forecasts no best size.
    """
    if not fitted.whole.allocates:
        return ()
    found = []
    surfaces = fitted.surfaces(per_token(table), budget_range(table))
    for name, value in fitted.fixed.items():
        others = tuple((each, x) for each, x in fitted.fixed.items() if each != name)
        released = constrain(fitted.whole, others, tuple(fitted.tied.items()))
        free, p = fit_problem(table, released.law, options), released.law.parameters.index(name)
        error = _standard_error(free, table.loss_R, p)
        step = error or abs(SMALL * value) or SMALL
        values_3 = value + step * np.array([-1.0, 0.0, 1.0])
        full_3xP = np.stack([_refitted(fitted, table, full_P, name, x, options) for x in values_3])
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
    fitted: FittedLaw, table: RunTable, full_P: np.ndarray, name: str, value: float, options: FitOptions
) -> np.ndarray:
    """All parameters of the fit with parameter `name` at another value, from those of the fit; NaN where the
    law can't have that value, P."""
    held = tuple((fitted.fixed | {name: value}).items())
    try:
        moved = constrain(fitted.whole, held, tuple(fitted.tied.items()))
    except UserError:  # out of the law's bounds
        return np.full(len(full_P), np.nan)
    problem = fit_problem(table, moved.law, options)
    start_1xF = encoded(moved.law, full_P[None, list(moved.map.free)], problem.centre)
    found = solve(problem, start_1xF, table.loss_R[None], np.ones((1, len(table.loss_R))), warm=True)
    return moved.map.rows(found.params_SxP)[0]
