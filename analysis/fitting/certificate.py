"""Is this the optimum? Evidence, not an optimizer's own word for it."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from analysis.fitting.solver import ROWS, Design, Solutions
from analysis.precision import evaluate, float64_on_cpu
from analysis.result import Certificate

AGREEMENT = 1e-6
"""Relative difference of objective below which two starts found the same optimum."""
NEGLIGIBLE_RESIDUAL = 1e-9
"""Residuals this small are rounding: objectives made of them are not told apart."""
SMALL_GRADIENT = 1e-6
"""Of the gradient's size if its terms, one a run, all had one sign."""
VANISHED = 1e-6
"""Share of the loss below which a nonnegative term has run into its bound at zero."""


def same_optimum(objective_S: np.ndarray, rows: int) -> np.ndarray:
    """Which of S objectives agree with the best."""
    best = np.nanmin(objective_S)
    return objective_S <= best * (1 + AGREEMENT) + 0.5 * rows * NEGLIGIBLE_RESIDUAL**2


def residuals(design: Design, params_P: np.ndarray, loss_R: np.ndarray) -> np.ndarray:
    """log(loss / predicted) or loss - predicted, by the design's space."""
    predicted_R = evaluate(design.law, params_P, design.N_R, design.D_R)
    if design.space == "log":
        return np.log(loss_R) - np.log(predicted_R)
    return loss_R - predicted_R


def certify(design: Design, loss_R: np.ndarray, solutions: Solutions) -> Certificate:
    """The certificate of the best of S solutions that began at S starts."""
    best = int(np.nanargmin(solutions.objective_S))
    theta_P, params_P = solutions.theta_SxP[best], solutions.params_SxP[best]
    agree = int(same_optimum(solutions.objective_S, len(loss_R)).sum())
    jacobian_RxP = _jacobian(design, theta_P)
    slope_R = np.clip(residuals(design, params_P, loss_R), -design.delta, design.delta)
    scale = float((np.abs(slope_R) * np.linalg.norm(jacobian_RxP, axis=1)).sum())
    gradient = float(solutions.gradient_norm_S[best])
    reasons = []
    if not gradient <= SMALL_GRADIENT * scale + 1e-12:
        reasons.append(f"the gradient does not vanish ({gradient:.1e})")
    if agree < max(2, len(solutions.objective_S) // 100):
        reasons.append(f"only {agree} of {len(solutions.objective_S)} starts reach the best objective")
    if lost := _vanished(design, params_P, loss_R):
        reasons.append(f"{' and '.join(lost)} has run to its bound at zero")
    return Certificate(
        status="not_certified" if reasons else "certified",
        gradient_norm=gradient,
        starts=len(solutions.objective_S),
        starts_at_optimum=agree,
        condition_number=_condition(jacobian_RxP),
        why="; ".join(reasons) or None,
    )


def _vanished(design: Design, params_P: np.ndarray, loss_R: np.ndarray) -> list[str]:
    """Linear amplitudes whose term is no part of the loss anywhere in the table."""
    lost = []
    for index in design.law.linear:
        alone = np.where(np.isin(np.arange(len(params_P)), design.law.linear), 0.0, params_P)
        alone[index] = params_P[index]
        term_R = evaluate(design.law, alone, design.N_R, design.D_R)
        if not np.nanmax(np.abs(term_R) / loss_R) > VANISHED:
            lost.append(design.law.parameters[index])
    return lost


def _jacobian(design: Design, theta_P: np.ndarray) -> np.ndarray:
    n0, d0 = design.centre
    rows = -len(design.N_R) % ROWS
    N_R, D_R = (np.pad(x, (0, rows), constant_values=1.0) for x in (design.N_R, design.D_R))
    with float64_on_cpu():
        jacobian_RxP = np.asarray(_jacobian_of(design.law, design.space)(theta_P, N_R, D_R, n0, d0))
    return jacobian_RxP[: len(design.N_R)]


@functools.cache
def _jacobian_of(law, space):
    def predicted(theta, N_R, D_R, n0, d0):
        loss_R = law.predict(law.decode(theta, n0, d0), N_R, D_R)
        return jnp.log(loss_R) if space == "log" else loss_R

    return jax.jit(jax.jacfwd(predicted))


def _condition(jacobian_RxP: np.ndarray) -> float | None:
    length_P = np.linalg.norm(jacobian_RxP, axis=0)
    if not np.all(np.isfinite(length_P)) or np.any(length_P == 0):
        return None
    values = np.linalg.svd(jacobian_RxP / length_P, compute_uv=False)
    return float((values[0] / values[-1]) ** 2) if values[-1] > 0 else None
