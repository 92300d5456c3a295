"""Many small nonlinear fits at once: one compiled, batched, damped Newton method in float64.

A problem is a vector of losses and row weights over the table's shared inputs, with a starting point.
Starting points, bootstrap resamples and points of a profile are all just problems.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isoflop.analysis.laws import Law
from isoflop.analysis.laws.constrained import Form, MapArrays, form_of
from isoflop.analysis.laws.evaluate import float64_on_cpu
from isoflop.analysis.laws.law import Array
from isoflop.analysis.solver.newton import by_autodiff, minimize
from isoflop.analysis.solver.programs import program_of
from isoflop.analysis.solver.projection import projected_problem

CHUNK = 64
"""Problems per call of the compiled program: small enough for the cache, and stragglers hold up few."""
MAX_RESIDUALS_A_CALL = 1 << 18
"""Most rows times problems in a call: 2 MB for each array of them, many of which are alive at once."""
ROWS = 64
"""Rows are padded, at weight zero, to a multiple of this: tables of nearly one size share a program."""
LEAST_SQUARES = 1e30
"""A Huber delta that no residual reaches: the loss is then half the squared residual."""
ZONES = np.array([1e3, 1e2, 10.0, 1.0])
"""The widening of delta that a problem passes through; the last is delta itself."""
WARM = 2
"""Position in `ZONES` to begin at for a start that is near its optimum: the widest two are for far ones."""
MOST_AMPLITUDES = 4
"""Most amplitudes of variable projection: of K it compares 2^K - 1 subsets."""
SECANT_STEPS = 7
"""Steps of the line search: the kink is then found to well below the step's own error."""
FIRST_PASS, MAX_ITERATIONS = 14, 200
"""Iterations after which the unfinished are packed into chunks of their own, and at most."""


@dataclass(frozen=True)
class FitProblem:
    """What every problem of a batch shares. N_R, D_R: parameters and tokens, one entry per run."""

    law: Law
    N_R: np.ndarray
    D_R: np.ndarray
    space: str
    """`log`: residual log(loss) - log(predicted); `raw`: loss - predicted, nats per token."""
    delta: float
    """Width of the Huber loss's quadratic zone, in units of the residual."""
    extra: tuple[np.ndarray, ...] = ()
    """The law's covariates, each with one entry per run."""
    overestimate_weight: float = 1.0
    """What a negative residual's loss is multiplied by: of a run that the law puts too high."""
    scale: np.ndarray | float = 1.0
    """What residuals are multiplied by before the loss: the reciprocal of each run's relative noise."""
    whitening: tuple[np.ndarray, np.ndarray] | None = None
    """For runs that share noise: each run's trunk number, and what part of its trunk's summed residuals is
    taken off its own (`trunk_noise.whitening`): least squares of the rest is generalized least squares."""

    @property
    def centre(self) -> tuple[float, float]:
        """Geometric means of N and D."""
        return float(np.exp(np.log(self.N_R).mean())), float(np.exp(np.log(self.D_R).mean()))

    @property
    def inputs(self) -> tuple[np.ndarray, ...]:
        """N, D and the covariates: what the law's `predict` takes after the parameters."""
        return (self.N_R, self.D_R, *self.extra)

    def at(self, rows: np.ndarray) -> FitProblem:
        """The problem of these runs alone."""
        scale = self.scale[rows] if isinstance(self.scale, np.ndarray) else self.scale
        extra = tuple(x[rows] for x in self.extra)
        return dataclasses.replace(self, N_R=self.N_R[rows], D_R=self.D_R[rows], extra=extra, scale=scale)

    @property
    def projected(self) -> bool:
        """Least squares in the amplitudes: they are solved for exactly, by variable projection."""
        least_squares = self.delta >= LEAST_SQUARES and self.overestimate_weight == 1
        # The best of all subsets of the amplitudes is sought, and exponents must be left to search over.
        few = 0 < len(self.law.linear) <= MOST_AMPLITUDES and len(self.law.linear) < len(self.law.parameters)
        return self.space == "raw" and least_squares and few


@dataclass(frozen=True)
class Pull:
    """A quadratic pull on a linear function of theta, one for each of S problems.

    Adds stiffness_S / 2 (direction_SxP . theta - target_S)^2 to the objective: the optimum then lies on the
    profile of that function, at whatever value of it was reached.
    """

    direction_SxP: np.ndarray
    target_S: np.ndarray
    stiffness_S: np.ndarray


@dataclass(frozen=True)
class Solutions:
    """Where S problems ended."""

    theta_SxP: np.ndarray
    params_SxP: np.ndarray
    objective_S: np.ndarray
    """Sum over rows of weight times Huber loss (without a pull's part)."""
    gradient_norm_S: np.ndarray
    """Euclidean norm of the minimized function's gradient in theta, over coordinates not held at a bound."""
    iterations_S: np.ndarray

    @property
    def best(self) -> int:
        """Position of the lowest objective."""
        return int(np.nanargmin(self.objective_S))


def huber(residual: jax.Array, delta: jax.Array, overestimate_weight: float | jax.Array = 1.0) -> jax.Array:
    """r^2/2 within delta, delta (|r| - delta/2) beyond (Huber 1964): as in Hoffmann et al. (2022), D.3.

    Times the weight where r < 0. Without a delta that is the loss of expectiles (Newey and Powell 1987,
    Econometrica 55), with one near zero that of quantiles (Koenker and Bassett 1978, Econometrica 46).
    """
    size = jnp.abs(residual)
    plain = jnp.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))
    return jnp.where(residual < 0, overestimate_weight, 1.0) * plain


class _Shared(NamedTuple):
    """What the problems of a call share, as arrays for JAX; rows are padded."""

    constraint: MapArrays | None
    bounds: tuple[Array, Array]
    """Of theta, P each: lower and upper."""
    inputs: tuple[Array, ...]
    centre: tuple[float, float]
    raw: bool
    scale_R: Array
    whitening: tuple[Array, Array] | None
    deltas: Array
    overestimate_weight: float


def solve(
    problem: FitProblem,
    theta_SxP: np.ndarray,
    loss_SxR: np.ndarray,
    weight_SxR: np.ndarray,
    pull: Pull | None = None,
    warm: bool = False,
) -> Solutions:
    """Minimize each problem from its starting point.

    `loss_SxR` and `weight_SxR` may have a first dimension of 1, shared by all. `warm`: the starts are near
    their optima, so the widest zones of Huber's loss are left out.
    """
    # Rows of weight zero fill up to a multiple of ROWS. With loss 1 and the last run's inputs they're finite:
    # zero times NaN would be NaN.
    S, P = theta_SxP.shape
    R = len(problem.N_R)
    rows = -R % ROWS
    inputs = tuple(np.pad(x.astype(float), (0, rows), mode="edge") for x in problem.inputs)
    loss_SxR = np.pad(np.broadcast_to(loss_SxR, (S, R)), ((0, 0), (0, rows)), constant_values=1.0)
    weight_SxR = np.pad(np.broadcast_to(weight_SxR, (S, R)), ((0, 0), (0, rows)))
    scale_R = np.pad(np.broadcast_to(problem.scale, R).astype(float), (0, rows), constant_values=1.0)
    # Without a pull one of stiffness zero: a second program would have to be compiled, which costs more than
    # a product that comes to nothing.
    pull = pull or Pull(np.zeros((1, P)), np.zeros(1), np.zeros(1))
    parts_of_pull = (pull.direction_SxP, pull.target_S, pull.stiffness_S)
    pulls = [np.broadcast_to(x, (S, *x.shape[1:])) for x in parts_of_pull]
    # A pull acts on all of theta: the amplitudes then don't follow from the exponents alone.
    projected = problem.projected and not np.any(pull.stiffness_S)
    deltas = np.minimum(problem.delta * ZONES, LEAST_SQUARES)
    # Least squares has no zones to narrow: the last stage is the only one.
    first = len(ZONES) - 1 if problem.delta >= LEAST_SQUARES else WARM if warm else 0
    whitening = None
    if problem.whitening is not None:
        # Padded rows belong to a trunk of their own, number R, and no part of its sum is taken off them.
        trunk_R, part_R = problem.whitening
        whitening = np.pad(trunk_R, (0, rows), constant_values=R), np.pad(part_R, (0, rows))
    raw, weight = problem.space == "raw", problem.overestimate_weight
    form, constraint = form_of(problem.law, projected)
    bounds = bounds_of(problem.law)
    shared = _Shared(constraint, bounds, inputs, problem.centre, raw, scale_R, whitening, deltas, weight)
    program = functools.partial(_chunk_program(form, projected), shared)
    problems = [np.full(S, first), theta_SxP, loss_SxR, weight_SxR, *pulls]
    found = _in_chunks(functools.partial(program, FIRST_PASS), problems, np.arange(S))
    # In a batch all wait for the slowest: after a first pass the stragglers go on among themselves, from
    # where they stand and in the stage that they had reached.
    left = np.flatnonzero(~found[-1])
    if len(left):
        problems[0], problems[1] = found[-2], found[0]
        rest = _in_chunks(functools.partial(program, MAX_ITERATIONS), problems, left)
        for whole, part in zip(found, rest, strict=True):
            whole[left] = part
    return Solutions(*found[:5])


def _in_chunks(program: Callable, problems: list[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """The program on the problems of these rows, a chunk at a time: a smaller one for a large table."""
    chunk = CHUNK
    while chunk > 1 and chunk * problems[2].shape[1] > MAX_RESIDUALS_A_CALL:
        chunk //= 2
    parts = []
    with float64_on_cpu():
        for begin in range(0, len(rows), chunk):
            # The last chunk repeats its last problem: one shape, one compilation.
            take = rows[np.minimum(np.arange(begin, begin + chunk), len(rows) - 1)]
            part = program(*(x[take] for x in problems))
            parts.append([np.asarray(x)[: len(rows) - begin] for x in part])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@functools.cache
def _chunk_program(form: Form, projected: bool) -> Callable[..., Any]:
    """`_solve_chunk` of a law's form, compiled."""
    name = "projection" if projected else "newton"
    return program_of(form, name, functools.partial(_solve_chunk, form, projected))


def _solve_chunk(form, projected, shared: _Shared, limit, first_S, theta_SxP, loss_SxR, weight_SxR, *pulls):
    """Seven values of each problem: the fields of `Solutions`, the stage it is in, whether it is done."""
    law = form.law(shared.constraint)
    one = functools.partial(_by_projection if projected else _by_newton, law, shared, limit)
    return jax.vmap(one)(first_S, theta_SxP, loss_SxR, weight_SxR, *pulls)


def _by_newton(law, shared: _Shared, limit, first, theta, loss_R, weight_R, direction, target, stiffness):
    def residual(x):
        predicted_R = law.predict(law.decode(x, *shared.centre), *shared.inputs)
        gap_R = jnp.where(shared.raw, loss_R - predicted_R, jnp.log(loss_R) - jnp.log(predicted_R))
        gap_R = shared.scale_R * gap_R
        if shared.whitening is None:
            return gap_R
        # r - part * (sum of r over its trunk): the inverse root of a compound-symmetric covariance.
        trunk_R, part_R = shared.whitening
        return gap_R - part_R * jax.ops.segment_sum(gap_R, trunk_R, len(gap_R) + 1)[trunk_R]

    def data(x, delta):
        return jnp.sum(weight_R * huber(residual(x), delta, shared.overestimate_weight))

    def objective(x, delta):
        return data(x, delta) + 0.5 * stiffness * (jnp.dot(direction, x) - target) ** 2

    def line(x, move, delta, top, here):
        # Residuals to first order along the move: r + t q. Their Huber objective's slope in t follows; the
        # derivative of Huber's loss is the residual, clipped to delta and weighed by its sign.
        r_R, q_R = jax.jvp(residual, (x,), (move,))
        away, along = jnp.dot(direction, x) - target, jnp.dot(direction, move)

        def slope(t):
            bend, left_R = stiffness * (away + t * along) * along, r_R + t * q_R
            sided_R = jnp.where(left_R < 0, shared.overestimate_weight, 1.0)
            return jnp.sum(weight_R * sided_R * q_R * jnp.clip(left_R, -delta, delta)) + bend

        return least_along(slope, top, here)

    end = minimize(by_autodiff(objective), line, theta, shared.deltas, first, limit, *shared.bounds)
    # Reported at the last delta, whatever stage was reached, and without the pull's part.
    params, value = law.decode(end.theta, *shared.centre), data(end.theta, shared.deltas[-1])
    return end.theta, params, value, end.gradient_norm, end.iteration, end.stage, end.done


def _by_projection(law, shared: _Shared, limit, first, theta, loss_R, weight_R, *_no_pull):
    # In a sum of squares a residual's scale is a weight: w (s r)^2 = (w s^2) r^2.
    evaluate, params_of = projected_problem(
        law, shared.inputs, shared.centre, loss_R, weight_R * shared.scale_R**2
    )
    nonlinear = np.array([p for p in range(len(law.parameters)) if p not in law.linear])
    lower, upper = (bound[nonlinear] for bound in shared.bounds)
    # A sum of squares has no kinks: the full step, damped as it is, needs no search along it.
    end = minimize(
        evaluate, lambda x, move, delta, top, here: top, theta[nonlinear], shared.deltas, first, limit,
        lower, upper,
    )  # fmt: skip
    params = params_of(end.theta)
    theta = law.encode(params, *shared.centre)
    return theta, params, end.value, end.gradient_norm, end.iteration, end.stage, end.done


def least_along(slope, top, here):
    """The zero in [0, top] of an increasing piecewise linear slope, `here` at 0; `top` where it ends below.

    With residuals linear in the step a Huber objective along it is a spline whose kinks a Newton step does
    not see; this finds the best kink, by the Illinois method (Dowell and Jarratt 1971).
    """

    def narrow(_, bracket):
        low, below, high, above, side = bracket
        zero = low - below * (high - low) / jnp.where(above > below, above - below, 1.0)
        found = slope(zero)
        right = found > 0
        # The Illinois rule: an edge that stays twice counts half, or the secant would creep towards it.
        halved = jnp.where(right == side, 0.5, 1.0)
        return (
            jnp.where(right, low, zero), jnp.where(right, halved * below, found),
            jnp.where(right, zero, high), jnp.where(right, found, halved * above), right,
        )  # fmt: skip

    there = slope(top)
    # The bracket: its lower edge, the slope there, its upper edge, the slope there, which edge moved last.
    bracket = (jnp.zeros_like(top), here, top, there, jnp.zeros_like(top) > 0)
    low, below, high, above, _ = jax.lax.fori_loop(0, SECANT_STEPS, narrow, bracket)
    zero = low - below * (high - low) / jnp.where(above > below, above - below, 1.0)
    # Downhill all the way: the longest step allowed is the best one.
    return jnp.where(there <= 0, top, zero)


def bounds_of(law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of theta, each of shape P; infinite where the law sets none."""
    bounds = law.bounds or ((-np.inf, np.inf),) * len(law.parameters)
    lower, upper = np.array(bounds, dtype=float).T
    return lower, upper
