"""The law linearized where a fit stands: residuals, and derivatives of predictions in theta."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from isoflop.analysis.laws import Law
from isoflop.analysis.laws.constrained import form_of
from isoflop.analysis.laws.evaluate import decoded, evaluate, float64_on_cpu
from isoflop.analysis.solver.newton import AT_BOUND
from isoflop.analysis.solver.programs import program_of
from isoflop.analysis.solver.solver import ROWS, FitProblem, bounds_of


def free_coordinates(law: Law, theta_P: np.ndarray) -> np.ndarray:
    """Which coordinates of theta are held at no bound of the law's, P booleans."""
    lower_P, upper_P = bounds_of(law)
    return (theta_P > lower_P + AT_BOUND) & (theta_P < upper_P - AT_BOUND)


def residuals(problem: FitProblem, params_P: np.ndarray, loss_R: np.ndarray) -> np.ndarray:
    """What the objective sums: log(loss / predicted) or loss - predicted, times the problem's scale."""
    predicted_R = evaluate(problem.law, params_P, *problem.inputs)
    if problem.space == "log":
        return problem.scale * (np.log(loss_R) - np.log(predicted_R))
    return problem.scale * (loss_R - predicted_R)


def influence(problem: FitProblem, residual_R: np.ndarray) -> np.ndarray:
    """Derivative of each run's loss in its residual."""
    return overestimate_weights(problem, residual_R) * np.clip(residual_R, -problem.delta, problem.delta)


def overestimate_weights(problem: FitProblem, residual_R: np.ndarray) -> np.ndarray:
    """What each run's loss is multiplied by for the sign of its residual."""
    return np.where(residual_R < 0, problem.overestimate_weight, 1.0)


def middle_of_runs(problem: FitProblem, params_P: np.ndarray, loss_R: np.ndarray) -> np.ndarray:
    """The loss that each run's noise is about: the law's, unless the law is an envelope of the runs."""
    predicted_R = evaluate(problem.law, params_P, *problem.inputs)
    if problem.overestimate_weight == 1:
        return predicted_R
    # Above an envelope by as much as the runs are: noise about it has a mean of its own, and resampling that
    # takes trunks' effects for normal ones would lose it.
    return predicted_R * np.exp(np.mean(np.log(loss_R) - np.log(predicted_R)))


def jacobian(problem: FitProblem, theta_P: np.ndarray) -> np.ndarray:
    """Derivative of the scaled (log) predicted loss of each run in theta, RxP."""
    return sensitivity(problem, theta_P, problem.inputs) * np.reshape(problem.scale, (-1, 1))


def sensitivity(problem: FitProblem, theta_P: np.ndarray, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
    """Derivative in theta of the (log) loss predicted at K further inputs (N, D, covariates), KxP."""
    # Padded as the solver pads: tables of nearly one size share a compiled program.
    rows = -len(inputs[0]) % ROWS
    padded = [np.pad(x, (0, rows), mode="edge") for x in inputs]
    form, constraint = form_of(problem.law)
    with float64_on_cpu():
        program = _jacobian_of(form, problem.space)
        found = np.asarray(program(theta_P, constraint, problem.centre, *padded))
    return found[: len(inputs[0])]


@functools.cache
def _jacobian_of(form, space):
    def predicted(theta, constraint, centre, *inputs):
        law = form.law(constraint)
        loss_R = law.predict(law.decode(theta, *centre), *inputs)
        return jnp.log(loss_R) if space == "log" else loss_R

    return program_of(form, f"jacobian {space}", jax.jacfwd(predicted))


def linearized(
    problem: FitProblem, theta_P: np.ndarray, loss_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Jacobian of the log loss in the free coordinates, residuals, and which coordinates are free.

    `problem`: one of the log loss, unscaled.
    """
    # A coordinate at a bound takes no part in the fit's freedom: neither does its column.
    free_P = free_coordinates(problem.law, theta_P)
    J_RxP = np.nan_to_num(sensitivity(problem, theta_P, problem.inputs))[:, free_P]
    return J_RxP, residuals(problem, decoded(problem.law, theta_P, problem.centre), loss_R), free_P
