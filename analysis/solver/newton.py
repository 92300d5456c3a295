"""Newton's method for one small problem with bounds, traceable by JAX, so that many run at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

AT_BOUND = 1e-12
"""Nearer to a bound than this is on it."""
FIRST_DAMPING = 1e-3
"""Damping of the first step, as a share of the largest curvature: nearly Newton's own step."""
FIRMER, LOOSER = 6.0, 0.2
"""Factors on the damping after a rejected and an accepted step. Firmer by more than it is loosened: a step
that was too long is seldom too long by a little."""
STUCK = 1e10
"""Damping beyond which no step helps: a step is then below rounding."""
SETTLED, STAGE_SETTLED = 1e-15, 1e-3
"""Expected decrease, as a share of the objective, that ends the search, and an earlier stage of it: a stage
only has to lead into the next one's valley."""


class NewtonState(NamedTuple):
    """Where the method stands; on return, where it ended."""

    theta: jax.Array
    value: jax.Array
    gradient: jax.Array
    hessian: jax.Array
    damping: jax.Array
    stage: jax.Array
    iteration: jax.Array
    done: jax.Array
    gradient_norm: jax.Array
    """Euclidean norm of the gradient over the coordinates that are free to move."""


def by_autodiff(objective: Callable) -> Callable:
    """`evaluate(x, delta)`: value, gradient and Hessian of `objective(x, delta)` in x."""

    def evaluate(x, delta):
        # One forward pass over the reverse one gives all three: the value and the gradient are carried along
        # as auxiliary output, not computed again.
        def slope(y):
            value, gradient = jax.value_and_grad(objective)(y, delta)
            return gradient, (value, gradient)

        hessian, (value, gradient) = jax.jacfwd(slope, has_aux=True)(x)
        return value, gradient, hessian

    return evaluate


def minimize(
    evaluate: Callable,
    line: Callable,
    theta: jax.Array,
    deltas: jax.Array,
    first: jax.Array,
    limit: jax.Array,
    lower: np.ndarray,
    upper: np.ndarray,
) -> NewtonState:
    """Newton with |eigenvalues| damped as by Levenberg and Marquardt, through a falling sequence of deltas.

    At delta = 1e-3 nearly every residual lies in the Huber loss's linear zone and curvature says little far
    from the optimum. Wide zones first lead each start, by its own path, to where it says enough.

    `evaluate(x, delta)` gives value, gradient and (some) Hessian. `line(x, move, delta, top, slope)`: how far
    along the move to go, at most `top`, where the objective's slope along it is `slope` at x. `first`:
    position in `deltas` to begin at; `limit`: most iterations. Bounds of shape P are held as active sets
    (Bertsekas 1982).
    """
    last = len(deltas) - 1

    def loose(x, gradient):
        # An active set: at a bound, with a gradient that points out of the box. One that points inwards frees
        # the coordinate again (Bertsekas 1982, section 1.5).
        held = ((x <= lower + AT_BOUND) & (gradient > 0)) | ((x >= upper - AT_BOUND) & (gradient < 0))
        return jnp.where(held, 0.0, 1.0)

    def step(s: NewtonState) -> NewtonState:
        # Every branch is a `where`: under vmap both sides of a cond would be computed anyway, and one
        # evaluation of the Hessian a step, at the trial point, is all that is paid for.
        move = _damped_step(s.gradient, s.hessian, s.damping, loose(s.theta, s.gradient))
        # To first order; the step solves (|H| + damping) move = -gradient, so that it is positive.
        gain = -jnp.dot(s.gradient, move)
        final = s.stage == last
        settled = (gain <= jnp.where(final, SETTLED, STAGE_SETTLED) * s.value + 1e-30) | (s.damping > STUCK)
        advance = settled & ~final
        room = _room(s.theta, move, lower, upper)
        share = line(s.theta, move, deltas[jnp.maximum(s.stage, 0)], room, -gain)
        trial = jnp.where(settled, s.theta, _snapped(s.theta + share * move, lower, upper))
        # A problem that settled stays where it is and is evaluated under its next delta.
        value, gradient, hessian = evaluate(trial, deltas[s.stage + advance])
        # A trial in a region where the law overflows is a rejected step, not the end of the search.
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient)) & jnp.all(jnp.isfinite(hessian))
        # A share of zero would count as a decrease of nothing and never end: it has to move.
        lower_value = finite & (value <= s.value * (1 + 1e-14)) & (share > 0)
        accept = advance | (lower_value & ~settled)
        keep = functools.partial(jnp.where, accept)
        damping = jnp.where(accept, jnp.maximum(s.damping * LOOSER, 1e-14), s.damping * FIRMER)
        theta, value, gradient = keep(trial, s.theta), keep(value, s.value), keep(gradient, s.gradient)
        return NewtonState(
            theta, value, gradient, keep(hessian, s.hessian), jnp.where(advance, FIRST_DAMPING, damping),
            s.stage + advance, s.iteration + 1, (settled & final) | ~jnp.isfinite(value),
            jnp.linalg.norm(gradient * loose(theta, gradient)),
        )  # fmt: skip

    return jax.lax.while_loop(lambda s: ~s.done & (s.iteration < limit), step, _settled_at(theta, first))


def _settled_at(theta: jax.Array, first: jax.Array) -> NewtonState:
    """A state that counts as settled before stage `first`: the first step then evaluates at theta, in the
    one place that does.
    """
    nothing = jnp.asarray(0.0)
    return NewtonState(
        theta=theta,
        value=nothing + jnp.inf,
        gradient=jnp.zeros_like(theta),
        hessian=jnp.eye(len(theta)),
        damping=nothing + FIRST_DAMPING,
        stage=jnp.asarray(first) - 1,
        iteration=jnp.asarray(0),
        done=jnp.asarray(False),
        gradient_norm=nothing + jnp.inf,
    )


def _damped_step(gradient: jax.Array, hessian: jax.Array, damping: jax.Array, loose: jax.Array) -> jax.Array:
    """-(|H| + damping max|H|)^-1 gradient over the coordinates that are free, none moved by more than 1.

    Absolute eigenvalues turn directions of negative curvature downhill: far from the optimum the objective is
    not convex, and plain Newton would climb to a saddle.
    """
    # Held coordinates have zero rows and columns, and so eigenvalues of zero: the damping alone divides them,
    # and `loose` takes what comes of it out of the move again.
    values, vectors = jnp.linalg.eigh(hessian * jnp.outer(loose, loose))
    size = jnp.abs(values)
    inverse = 1.0 / (size + damping * jnp.max(size) + 1e-300)
    move = -(vectors @ ((vectors.T @ (gradient * loose)) * inverse)) * loose
    # Coordinates are logs or exponents: a step of 1 already changes a term e-fold, and the quadratic model
    # is good for no more.
    return move / jnp.maximum(1.0, jnp.max(jnp.abs(move)))


def _room(theta: jax.Array, move: jax.Array, lower: np.ndarray, upper: np.ndarray) -> jax.Array:
    """Share of the move, at most 1, that stays within the bounds."""
    # The nearest wall stops the whole step: clipping each coordinate by itself would bend it out of the
    # direction of descent.
    wall = jnp.where(move < 0, lower, upper)
    reach = jnp.where(jnp.isfinite(wall) & (move != 0), (wall - theta) / jnp.where(move == 0, 1.0, move), 1.0)
    return jnp.clip(jnp.min(reach), 0.0, 1.0)


def _snapped(theta: jax.Array, lower: np.ndarray, upper: np.ndarray) -> jax.Array:
    """theta with coordinates that are within rounding of a bound put on it: only those count as held."""
    theta = jnp.where(theta <= lower + AT_BOUND, lower, theta)
    return jnp.where(theta >= upper - AT_BOUND, upper, theta)
