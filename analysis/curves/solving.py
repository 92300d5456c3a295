"""Many fits to loss curves at once, by the damped Newton method that fits tables of runs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import nnls

from isoflop.analysis.curves.evaluate import losses
from isoflop.analysis.curves.law import CurveLaw
from isoflop.analysis.laws.evaluate import float64_on_cpu, vectorized
from isoflop.analysis.laws.law import Array
from isoflop.analysis.solver.newton import AT_BOUND, by_autodiff, minimize
from isoflop.analysis.solver.solver import LEAST_SQUARES, WARM, ZONES, Solutions, huber, least_along

CHUNK = 32
"""Problems per call of the compiled program."""
MAX_TERMS_A_CALL = 1 << 18
"""Most numbers of one array of features times problems in a call."""
ROWS, COLUMNS = 64, 4
"""Multiples that features are filled up to."""
ITERATIONS = 150
"""Most iterations of a start."""
LEAST_SHARE = 1e-3
"""Share of the median loss that a start's term has at least: an amplitude of zero has no log."""


@dataclass(frozen=True)
class CurveProblem:
    """A law, R rows of curves as its features have them, and the objective: Huber's of the log loss,
    summed."""

    law: CurveLaw
    features: tuple[np.ndarray, ...]
    """Each with a first dimension of R."""
    loss_R: np.ndarray
    delta: float
    centre: tuple[float, float]
    """s0 and eta0: see `CurveLaw`."""

    def at(self, rows: np.ndarray) -> CurveProblem:
        """The problem of these rows alone."""
        features = tuple(each[rows] for each in self.features)
        return CurveProblem(self.law, features, self.loss_R[rows], self.delta, self.centre)


def encoded(law: CurveLaw, params_SxP: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """theta of each of S parameter vectors."""
    if law.encode is None:
        return np.log(params_SxP)
    with float64_on_cpu():
        return np.asarray(vectorized(law.encode, (0, None, None))(np.asarray(params_SxP, float), *centre))


def decoded(law: CurveLaw, theta_SxP: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Parameters at each of S vectors theta."""
    if law.decode is None:
        return np.exp(theta_SxP)
    with float64_on_cpu():
        return np.asarray(vectorized(law.decode, (0, None, None))(np.asarray(theta_SxP, float), *centre))


def bounds_of(law: CurveLaw) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of theta, each of shape P."""
    bounds = law.bounds or ((-np.inf, np.inf),) * len(law.parameters)
    lower, upper = np.array(bounds, dtype=float).T
    return lower, upper


def at_bound(law: CurveLaw, theta_P: np.ndarray) -> np.ndarray:
    """Which coordinates of theta are held at a bound of the law's, P booleans."""
    lower_P, upper_P = bounds_of(law)
    return (theta_P <= lower_P + AT_BOUND) | (theta_P >= upper_P - AT_BOUND)


def starts(problem: CurveProblem, count: int) -> np.ndarray:
    """`count` starting points theta: a fixed Latin hypercube over the law's box, SxP.

    Linear amplitudes are then fixed, given the others, by nonnegative least squares on the relative loss.
    """
    law = problem.law
    low, high = np.array(law.start_box).T
    strata_PxS = np.random.default_rng(0).permuted(np.tile(np.arange(count), (len(low), 1)), axis=1)
    theta_SxP = low + (strata_PxS.T + 0.5) / count * (high - low)
    if law.linear:
        params_SxP = decoded(law, theta_SxP, problem.centre)
        amplitudes = [_amplitudes(problem, params_P) for params_P in params_SxP]
        params_SxP = params_SxP.copy()
        params_SxP[:, list(law.linear)] = amplitudes
        theta_SxP = encoded(law, params_SxP, problem.centre)
    return np.clip(theta_SxP, *bounds_of(law))


def _amplitudes(problem: CurveProblem, params_P: np.ndarray) -> np.ndarray:
    """The best nonnegative amplitudes at a start's other parameters, each worth a share of the loss at
    least."""
    linear = list(problem.law.linear)
    # The law's value at no amplitude, and what a unit of each adds.
    points = np.repeat(
        np.where(np.isin(np.arange(len(params_P)), linear), 0.0, params_P)[None], 1 + len(linear), 0
    )
    points[np.arange(1, len(points)), linear] = 1.0
    rest_R, *units = losses(problem.law, points, problem.features)
    basis_RxK = (np.stack(units, axis=-1) - rest_R[:, None]) / problem.loss_R[:, None]
    size_K = np.linalg.norm(basis_RxK, axis=0)
    # What no row has (drops, where no rate ever falls) stays at the size of its box.
    safe_K = np.where(size_K > 0, size_K, 1.0)
    found_K, _ = nnls(basis_RxK / safe_K, 1.0 - rest_R / problem.loss_R)
    least_K = LEAST_SHARE * np.sqrt(len(problem.loss_R))
    return np.where(size_K > 0, np.maximum(found_K, least_K) / safe_K, params_P[linear])


def solve(
    problem: CurveProblem,
    theta_SxP: np.ndarray,
    loss_SxR: np.ndarray | None = None,
    warm: bool = False,
    limit: int = ITERATIONS,
    gauss_newton: bool = False,
) -> Solutions:
    """Minimize from each start; `loss_SxR`: losses in place of the problem's, one row a start.

    `warm`: the starts are near their optima, so the widest zones of Huber's loss are left out. `limit`:
    most iterations. `gauss_newton`: by its Hessian, which leaves out the residuals' own curvature: a fifth
    of the work a step, and hundreds of steps to the last digit where the optimum lies in a valley.
    """
    S, R = len(theta_SxP), len(problem.loss_R)
    # Rows of weight zero, and columns of zeros, fill up to round numbers: problems of nearly one size share a
    # compiled program, as do few starts and many.
    rows = -R % ROWS
    features = tuple(_padded(each, rows) for each in problem.features)
    loss_SxR = np.broadcast_to(problem.loss_R if loss_SxR is None else loss_SxR, (S, R))
    loss_SxR = np.pad(loss_SxR, ((0, 0), (0, rows)), constant_values=1.0)
    weight_R = np.pad(np.ones(R), (0, rows))
    deltas = np.minimum(problem.delta * ZONES, LEAST_SQUARES)
    first = len(ZONES) - 1 if problem.delta >= LEAST_SQUARES else WARM if warm else 0
    chunk = int(np.clip(MAX_TERMS_A_CALL // max(each.size for each in features), 1, CHUNK))
    chunk = min(chunk, 4) if S <= 4 else chunk
    parts = []
    with float64_on_cpu():
        for begin in range(0, S, chunk):
            # The last chunk repeats its last problem: one shape, one compilation.
            take = np.minimum(np.arange(begin, begin + chunk), S - 1)
            shared = _Shared(features, weight_R, problem.centre, deltas, first, limit)
            part = _solve_chunk(problem.law, gauss_newton, shared, theta_SxP[take], loss_SxR[take])
            parts.append([np.asarray(x)[: S - begin] for x in part])
    return Solutions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _padded(feature: np.ndarray, rows: int) -> np.ndarray:
    """The last row repeated, and zeros after the last column, to a multiple of COLUMNS."""
    if feature.ndim == 1:
        return np.pad(feature, (0, rows), mode="edge")
    columns = np.pad(feature, ((0, 0), (0, -feature.shape[1] % COLUMNS)))
    return np.pad(columns, ((0, rows), (0, 0)), mode="edge")


class _Shared(NamedTuple):
    """What the problems of a call share."""

    features: tuple[Array, ...]
    weight_R: Array
    centre: tuple[float, float]
    deltas: Array
    first: Array
    limit: Array


@functools.partial(jax.jit, static_argnums=(0, 1))
def _solve_chunk(law: CurveLaw, gauss_newton: bool, shared: _Shared, theta_SxP, loss_SxR):
    return jax.vmap(functools.partial(_solve_one, law, gauss_newton, shared))(theta_SxP, loss_SxR)


def _solve_one(law: CurveLaw, gauss_newton: bool, shared: _Shared, theta_P, loss_R):
    """The fields of `Solutions` for one start."""

    def residual(x):
        return jnp.log(loss_R) - jnp.log(law.predict(_params(law, x, shared.centre), *shared.features))

    def objective(x, delta):
        return jnp.sum(shared.weight_R * huber(residual(x), delta))

    def linearized_objective(x, delta):
        jacobian_RxP, r_R = jax.jacfwd(lambda y: (residual(y),) * 2, has_aux=True)(x)
        inside_R = shared.weight_R * (jnp.abs(r_R) <= delta)
        gradient = jacobian_RxP.T @ (shared.weight_R * jnp.clip(r_R, -delta, delta))
        value = jnp.sum(shared.weight_R * huber(r_R, delta))
        return value, gradient, (jacobian_RxP * inside_R[:, None]).T @ jacobian_RxP

    def line(x, move, delta, top, here):
        r_R, q_R = jax.jvp(residual, (x,), (move,))
        slope_R = shared.weight_R * q_R
        return least_along(lambda t: jnp.sum(slope_R * jnp.clip(r_R + t * q_R, -delta, delta)), top, here)

    evaluate = linearized_objective if gauss_newton else by_autodiff(objective)
    end = minimize(evaluate, line, theta_P, shared.deltas, shared.first, shared.limit, *bounds_of(law))
    value = objective(end.theta, shared.deltas[-1])
    return end.theta, _params(law, end.theta, shared.centre), value, end.gradient_norm, end.iteration


def _params(law: CurveLaw, theta_P, centre):
    return jnp.exp(theta_P) if law.decode is None else law.decode(theta_P, *centre)


def linearized(problem: CurveProblem, theta_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residuals of the log loss, R, and the log prediction's derivative in theta, RxP."""
    with float64_on_cpu():
        predicted_R, jacobian_RxP = _linearize(problem.law, theta_P, problem.centre, problem.features)
    return np.log(problem.loss_R) - np.asarray(predicted_R), np.asarray(jacobian_RxP)


@functools.partial(jax.jit, static_argnums=0)
def _linearize(law: CurveLaw, theta_P, centre, features):
    def predicted(x) -> tuple[Array, Array]:
        found = jnp.log(law.predict(_params(law, x, centre), *features))
        return found, found

    jacobian_RxP, predicted_R = jax.jacfwd(predicted, has_aux=True)(theta_P)
    return predicted_R, jacobian_RxP
