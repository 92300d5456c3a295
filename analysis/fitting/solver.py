"""Many small nonlinear fits at once: one compiled, batched, damped Newton method in float64.

A problem is a vector of losses and row weights over the table's shared (N, D), with a starting point.
Starting points, bootstrap resamples, profiles and refits without some rows are all just problems.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from analysis.laws import Law
from analysis.precision import float64_on_cpu

CHUNK = 64
"""Problems per call of the compiled program: small enough for the cache, and stragglers hold up few."""
ROWS = 64
"""Rows are padded, at weight zero, to a multiple of this: tables of nearly one size share a program."""
MAX_ITERATIONS = 150
LEAST_SQUARES = 1e30
"""A Huber delta that no residual reaches: the loss is then half the squared residual."""


@dataclass(frozen=True)
class Design:
    """What every problem of a batch shares. N_R and D_R: parameters and tokens, one entry per run."""

    law: Law
    N_R: np.ndarray
    D_R: np.ndarray
    space: str
    """`log`: residual log(loss) - log(predicted); `raw`: loss - predicted, nats per token."""
    delta: float
    """Width of the Huber loss's quadratic zone, in units of the residual."""

    @property
    def centre(self) -> tuple[float, float]:
        """Geometric means of N and D."""
        return float(np.exp(np.log(self.N_R).mean())), float(np.exp(np.log(self.D_R).mean()))


@dataclass(frozen=True)
class Solutions:
    """End points of S problems."""

    theta_SxP: np.ndarray
    params_SxP: np.ndarray
    objective_S: np.ndarray
    """Sum over rows of weight times Huber loss."""
    gradient_norm_S: np.ndarray
    """Euclidean norm of the objective's gradient in theta (over the free coordinates)."""
    iterations_S: np.ndarray


class _State(NamedTuple):
    theta: jax.Array
    value: jax.Array
    gradient: jax.Array
    hessian: jax.Array
    damping: jax.Array
    stage: jax.Array
    iteration: jax.Array
    done: jax.Array


def huber(residual: jax.Array, delta: jax.Array) -> jax.Array:
    """r^2/2 within delta, delta (|r| - delta/2) beyond (Huber 1964): as in Hoffmann et al. (2022), D.3."""
    size = jnp.abs(residual)
    return jnp.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))


def solve(
    design: Design,
    theta_SxP: np.ndarray,
    loss_SxR: np.ndarray,
    weight_SxR: np.ndarray,
    free_SxP: np.ndarray | None = None,
) -> Solutions:
    """Minimize each problem from its starting point.

    `loss_SxR` and `weight_SxR` may have a first dimension of 1, shared by all. `free_SxP` marks the
    coordinates of theta that move (all, by default): the others stay where they start, as a profile needs.
    """
    S, P = theta_SxP.shape
    R = len(design.N_R)
    rows = -R % ROWS
    n0, d0 = design.centre
    N_R = np.pad(design.N_R.astype(float), (0, rows), constant_values=n0)
    D_R = np.pad(design.D_R.astype(float), (0, rows), constant_values=d0)
    loss_SxR = np.pad(np.broadcast_to(loss_SxR, (S, R)), ((0, 0), (0, rows)), constant_values=1.0)
    weight_SxR = np.pad(np.broadcast_to(weight_SxR, (S, R)), ((0, 0), (0, rows)))
    free_SxP = np.ones((S, P)) if free_SxP is None else free_SxP.astype(float)
    deltas = np.minimum(design.delta * np.array([1e3, 1e2, 10.0, 1.0]), LEAST_SQUARES)
    parts = []
    with float64_on_cpu():
        for first in range(0, S, CHUNK):
            take = np.minimum(np.arange(first, first + CHUNK), S - 1)
            part = _solve_chunk(
                design.law, design.space, N_R, D_R, n0, d0, deltas,
                theta_SxP[take], loss_SxR[take], weight_SxR[take], free_SxP[take],
            )  # fmt: skip
            parts.append([np.asarray(x)[: S - first] for x in part])
    return Solutions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _solve_chunk(law, space, N_R, D_R, n0, d0, deltas, theta_SxP, loss_SxR, weight_SxR, free_SxP):
    def objective(theta, loss_R, weight_R, delta):
        predicted_R = law.predict(law.decode(theta, n0, d0), N_R, D_R)
        if space == "log":
            residual_R = jnp.log(loss_R) - jnp.log(predicted_R)
        else:
            residual_R = loss_R - predicted_R
        return jnp.sum(weight_R * huber(residual_R, delta))

    def solve_one(theta, loss_R, weight_R, free):
        end = _newton(lambda x, delta: objective(x, loss_R, weight_R, delta), theta, free, deltas)
        params = law.decode(end.theta, n0, d0)
        return end.theta, params, end.value, jnp.linalg.norm(end.gradient), end.iteration

    return jax.vmap(solve_one)(theta_SxP, loss_SxR, weight_SxR, free_SxP)


def _newton(objective, theta, free, deltas) -> _State:
    """Newton with |eigenvalues| damped as by Levenberg and Marquardt, through a falling sequence of deltas.

    At delta = 1e-3 nearly every residual lies in the Huber loss's linear zone and curvature says little far
    from the optimum. Wide zones first lead each start, by its own path, to where it says enough.
    """
    last = deltas.shape[0] - 1

    def evaluate(x, delta):
        def slope(y):
            value, gradient = jax.value_and_grad(objective)(y, delta)
            return gradient, (value, gradient)

        hessian, (value, gradient) = jax.jacfwd(slope, has_aux=True)(x)
        fixed = 1.0 - free
        return value, gradient * free, hessian * jnp.outer(free, free) + jnp.diag(fixed)

    def step(s: _State) -> _State:
        move = _damped_step(s.gradient, s.hessian, s.damping) * free
        gain = -jnp.dot(s.gradient, move)
        final = s.stage == last
        settled = (gain <= jnp.where(final, 1e-15, 1e-3) * s.value + 1e-30) | (s.damping > 1e10)
        advance = settled & ~final
        trial = jnp.where(settled, s.theta, s.theta + move)
        value, gradient, hessian = evaluate(trial, deltas[s.stage + advance])
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient)) & jnp.all(jnp.isfinite(hessian))
        accept = advance | (finite & (value <= s.value * (1 + 1e-14)) & ~settled)
        keep = functools.partial(jnp.where, accept)
        damping = jnp.where(
            advance, 1e-3, jnp.where(accept, jnp.maximum(s.damping * 0.2, 1e-14), s.damping * 6.0)
        )
        value = keep(value, s.value)
        return _State(
            keep(trial, s.theta), value, keep(gradient, s.gradient), keep(hessian, s.hessian),
            damping, s.stage + advance, s.iteration + 1, (settled & final) | ~jnp.isfinite(value),
        )  # fmt: skip

    # A first state that counts as settled: the first step then evaluates at theta, in the one place that
    # does.
    nothing = jnp.asarray(0.0)
    start = _State(
        theta=theta,
        value=nothing + jnp.inf,
        gradient=jnp.zeros_like(theta),
        hessian=jnp.eye(len(theta)),
        damping=nothing + 1e-3,
        stage=jnp.asarray(-1),
        iteration=jnp.asarray(0),
        done=jnp.asarray(False),
    )
    return jax.lax.while_loop(lambda s: ~s.done & (s.iteration < MAX_ITERATIONS), step, start)


def _damped_step(gradient: jax.Array, hessian: jax.Array, damping: jax.Array) -> jax.Array:
    values, vectors = jnp.linalg.eigh(hessian)
    size = jnp.abs(values)
    move = -vectors @ ((vectors.T @ gradient) / (size + damping * jnp.max(size) + 1e-300))
    return move / jnp.maximum(1.0, jnp.max(jnp.abs(move)))
