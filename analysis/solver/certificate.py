"""Is this the optimum? Evidence, not an optimizer's own word for it."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from isoflop.analysis.laws.evaluate import evaluate, float64_on_cpu
from isoflop.analysis.result import Certificate
from isoflop.analysis.solver.newton import AT_BOUND
from isoflop.analysis.solver.solver import ROWS, FitProblem, Solutions, bounds_of

AGREEMENT = 1e-6
"""Relative difference of objective below which two starts found the same optimum."""
NEGLIGIBLE_RESIDUAL = 1e-9
"""Residuals this small are rounding: objectives made of them count as equal."""
SMALL_GRADIENT = 1e-6
"""Of the gradient's size if its terms, one a run, all had one sign."""
VANISHED = 1e-6
"""Share of the loss below which a nonnegative term has run into its bound at zero."""


def same_optimum(objective_S: np.ndarray, rows: int) -> np.ndarray:
    """Which of S objectives agree with the best."""
    best = np.nanmin(objective_S)
    return objective_S <= best * (1 + AGREEMENT) + 0.5 * rows * NEGLIGIBLE_RESIDUAL**2


def residuals(problem: FitProblem, params_P: np.ndarray, loss_R: np.ndarray) -> np.ndarray:
    """What the objective sums: log(loss / predicted) or loss - predicted, times the problem's scale."""
    predicted_R = evaluate(problem.law, params_P, *problem.inputs)
    if problem.space == "log":
        return problem.scale * (np.log(loss_R) - np.log(predicted_R))
    return problem.scale * (loss_R - predicted_R)


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
    # What the gradient would be if no two runs' terms cancelled: its vanishing is judged against that.
    slope_R = np.clip(residuals(problem, params_P, loss_R), -problem.delta, problem.delta)
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
        condition_number=_condition(jacobian_RxP),
        bounds=at_bounds(problem, theta_P, params_P, loss_R),
        others=_others(problem, loss_R, solutions, agree_S),
        why="; ".join(reasons) or None,
    )


def at_bounds(
    problem: FitProblem, theta_P: np.ndarray, params_P: np.ndarray, loss_R: np.ndarray
) -> tuple[str, ...]:
    """Parameters at a bound of the law's, and amplitudes of terms that are no part of any run's loss."""
    lower_P, upper_P = bounds_of(problem.law)
    hit = set(np.flatnonzero((theta_P <= lower_P + AT_BOUND) | (theta_P >= upper_P - AT_BOUND)).tolist())
    for index in problem.law.linear:
        # The loss with this amplitude alone is the term itself.
        alone = np.where(np.isin(np.arange(len(params_P)), problem.law.linear), 0.0, params_P)
        alone[index] = params_P[index]
        term_R = evaluate(problem.law, alone, *problem.inputs)
        if not np.nanmax(np.abs(term_R) / loss_R) > VANISHED:
            hit.add(index)
    return tuple(name for p, name in enumerate(problem.law.parameters) if p in hit)


def _others(
    problem: FitProblem, loss_R: np.ndarray, solutions: Solutions, agree_S: np.ndarray
) -> dict[str, int]:
    """What became of the starts that missed the optimum: a bound, a local optimum, or cut off on the way."""
    fates = {"bound": 0, "local_optimum": 0, "unfinished": 0}
    # A start that was cut off has a gradient far above the best one's; one in another valley has not.
    steep = 1e3 * max(float(solutions.gradient_norm_S[solutions.best]), 1e-9)
    for s in np.flatnonzero(~agree_S):
        theta_P, params_P = solutions.theta_SxP[s], solutions.params_SxP[s]
        if not np.isfinite(solutions.objective_S[s]) or solutions.gradient_norm_S[s] > steep:
            fates["unfinished"] += 1
        elif at_bounds(problem, theta_P, params_P, loss_R):
            fates["bound"] += 1
        else:
            fates["local_optimum"] += 1
    return fates


def jacobian(problem: FitProblem, theta_P: np.ndarray) -> np.ndarray:
    """Derivative of the scaled (log) predicted loss of each run in theta, RxP."""
    return sensitivity(problem, theta_P, problem.inputs) * np.reshape(problem.scale, (-1, 1))


def sensitivity(problem: FitProblem, theta_P: np.ndarray, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
    """Derivative in theta of the (log) loss predicted at K further inputs (N, D, covariates), KxP."""
    rows = -len(inputs[0]) % ROWS
    padded = [np.pad(x, (0, rows), mode="edge") for x in inputs]
    with float64_on_cpu():
        found = np.asarray(_jacobian_of(problem.law, problem.space)(theta_P, problem.centre, *padded))
    return found[: len(inputs[0])]


@functools.cache
def _jacobian_of(law, space):
    def predicted(theta, centre, *inputs):
        loss_R = law.predict(law.decode(theta, *centre), *inputs)
        return jnp.log(loss_R) if space == "log" else loss_R

    return jax.jit(jax.jacfwd(predicted))


def _condition(jacobian_RxP: np.ndarray) -> float | None:
    length_P = np.linalg.norm(jacobian_RxP, axis=0)
    if not np.all(np.isfinite(length_P)) or np.any(length_P == 0):
        return None
    # Of J'J: the square of the Jacobian's own; columns of unit length, so that units don't count.
    values = np.linalg.svd(jacobian_RxP / length_P, compute_uv=False)
    return float((values[0] / values[-1]) ** 2) if values[-1] > 0 else None
