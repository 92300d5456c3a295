"""Matrices rounded to few bits, after training or within it.

Each output channel of a matrix is rounded to the nearest of 2^bits - 1 evenly spaced values, symmetric about
zero, of which the outermost is its largest weight.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def quantize(matrix_xIxO: jax.Array, levels: ArrayLike) -> jax.Array:
    """The matrix (..., in, out) with each output's weights rounded to zero or `levels` values on each side of
    it."""
    whole_xIxO, step_xO = whole_steps(matrix_xIxO, levels)
    return whole_xIxO * step_xO


def whole_steps(matrix_xIxO: jax.Array, levels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """The whole numbers, -`levels` to `levels`, that the matrix is rounded to, and each output's step
    (..., 1, out) that they are multiples of."""
    step_xO = jnp.max(jnp.abs(matrix_xIxO), axis=-2, keepdims=True) / levels
    step_xO = jnp.where(step_xO > 0, step_xO, 1.0)  # a channel of zeros stays one
    return jnp.round(matrix_xIxO / step_xO), step_xO


def levels_of(bits: int) -> float:
    """Values on each side of zero: one of the 2^bits is left out, so that both sides are alike."""
    return float(2 ** (bits - 1) - 1)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def rounded_in_training(matrix_xIxO: jax.Array, bits: int) -> jax.Array:
    """The matrix rounded to `bits` bits, whose gradient is taken for that of the matrix itself.

    The straight-through estimator (Bengio et al. 2013, section 4): rounding's own gradient is zero.
    """
    return quantize(matrix_xIxO, levels_of(bits))


def _forward(matrix_xIxO: jax.Array, bits: int) -> tuple[jax.Array, None]:
    return quantize(matrix_xIxO, levels_of(bits)), None


def _backward(bits: int, kept: None, gradient_xIxO: jax.Array) -> tuple[jax.Array]:
    return (gradient_xIxO,)


rounded_in_training.defvjp(_forward, _backward)
