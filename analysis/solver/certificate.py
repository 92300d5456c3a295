"""Is this the optimum? Evidence, not an optimizer's own word for it."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.result import Certificate
from isoflop.analysis.solver.linearize import free_coordinates, influence, jacobian, residuals
from isoflop.analysis.solver.solver import FitProblem, Solutions

AGREEMENT = 1e-6
"""Relative difference of objective below which two starts found the same optimum."""
NEGLIGIBLE_RESIDUAL = 1e-9
"""Residuals this small are rounding: objectives made of them count as equal."""
SMALL_GRADIENT = 1e-6
"""Gradient that counts as none, as a share of its size if its terms, one a run, all had one sign."""
STEEP = 1e3
"""Factor on the best start's gradient beyond which another start was cut off on its way; one that stands at
the bottom of another valley has a gradient as small as the best one's."""
VANISHED = 1e-6
"""Share of the loss below which a nonnegative term has run into its bound at zero."""


def same_optimum(objective_S: np.ndarray, rows: int) -> np.ndarray:
    """Which of S objectives agree with the best."""
    # A share of the best alone would leave no start agreeing on exact data, where the objective is rounding.
    best = np.nanmin(objective_S)
    return objective_S <= best * (1 + AGREEMENT) + 0.5 * rows * NEGLIGIBLE_RESIDUAL**2


def certify(
    problem: FitProblem, loss_R: np.ndarray, solutions: Solutions, fewest: int | None = None
) -> Certificate:
    """The certificate of the best of S solutions that began at S starts.

    `fewest`: starts that have to reach the best objective; by default two, or one in a hundred.
    """
    best = solutions.best
    theta_P, params_P = solutions.theta_SxP[best], solutions.params_SxP[best]
    agree_S = same_optimum(solutions.objective_S, len(loss_R))
    jacobian_RxP = jacobian(problem, theta_P)
    # The gradient is a sum over runs of psi(residual) times the Jacobian's row. At the optimum the terms
    # cancel: what is left is judged against their sizes, since its own scale is that of the loss, the weights
    # and the number of runs.
    slope_R = influence(problem, residuals(problem, params_P, loss_R))
    scale = float((np.abs(slope_R) * np.linalg.norm(jacobian_RxP, axis=1)).sum())
    gradient = float(solutions.gradient_norm_S[best])
    found, starts = int(agree_S.sum()), len(agree_S)
    reasons = []
    if not gradient <= SMALL_GRADIENT * scale + 1e-12:
        reasons.append(f"the gradient does not vanish ({gradient:.1e})")
    if found < (fewest or max(2, starts // 100)):
        reasons.append(f"only {found} of {starts} starts reach the best objective")
    return Certificate(
        status="not_certified" if reasons else "certified",
        gradient_norm=gradient,
        starts=starts,
        starts_at_optimum=found,
        condition_number=condition_number(jacobian_RxP),
        bounds=at_bounds(problem, theta_P, params_P, loss_R),
        others=_others(problem, loss_R, solutions, agree_S),
        why="; ".join(reasons) or None,
    )


def at_bounds(
    problem: FitProblem, theta_P: np.ndarray, params_P: np.ndarray, loss_R: np.ndarray
) -> tuple[str, ...]:
    """Parameters at a bound of the law's, and amplitudes of terms that are no part of any run's loss."""
    hit = set(np.flatnonzero(~free_coordinates(problem.law, theta_P)).tolist())
    none = np.where(np.isin(np.arange(len(params_P)), problem.law.linear), 0.0, params_P)
    rest_R = evaluate(problem.law, none, *problem.inputs) if problem.law.linear else 0.0
    for index in problem.law.linear:
        # What the loss has of this amplitude alone is the term itself.
        alone = none.copy()
        alone[index] = params_P[index]
        term_R = evaluate(problem.law, alone, *problem.inputs) - rest_R
        if not np.nanmax(np.abs(term_R) / loss_R) > VANISHED:
            hit.add(index)
    return tuple(name for p, name in enumerate(problem.law.parameters) if p in hit)


def _others(
    problem: FitProblem, loss_R: np.ndarray, solutions: Solutions, agree_S: np.ndarray
) -> dict[str, int]:
    """What became of the starts that missed the optimum: a bound, a local optimum, or cut off on the way."""
    fates = {"bound": 0, "local_optimum": 0, "unfinished": 0}
    # Floored: where the best gradient vanishes exactly any other would be beyond it.
    steep = STEEP * max(float(solutions.gradient_norm_S[solutions.best]), 1e-9)
    for s in np.flatnonzero(~agree_S):
        theta_P, params_P = solutions.theta_SxP[s], solutions.params_SxP[s]
        if not np.isfinite(solutions.objective_S[s]) or solutions.gradient_norm_S[s] > steep:
            fates["unfinished"] += 1
        elif at_bounds(problem, theta_P, params_P, loss_R):
            fates["bound"] += 1
        else:
            fates["local_optimum"] += 1
    return fates


def condition_number(jacobian_RxP: np.ndarray) -> float | None:
    """Condition number of the Gauss-Newton Hessian; None where a parameter moves no prediction."""
    length_P = np.linalg.norm(jacobian_RxP, axis=0)
    if not np.all(np.isfinite(length_P)) or np.any(length_P == 0):
        return None
    # The condition of J'J, which is the square of the Jacobian's own. Columns of unit length (Belsley, Kuh
    # and Welsch 1980, Regression Diagnostics, chapter 3), so that the parameters' units don't count.
    values = np.linalg.svd(jacobian_RxP / length_P, compute_uv=False)
    return float((values[0] / values[-1]) ** 2) if values[-1] > 0 else None
