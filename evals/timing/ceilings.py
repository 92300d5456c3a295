"""What this machine can do at most, measured: products of matrices, and reading."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from isoflop.evals.timing.rounds import timed
from isoflop.models.config import Dtype

PRODUCT_SIZE = {"cpu": 1024}
"""Rows of the square matrices that are multiplied, by platform, and ..."""
ACCELERATOR_SIZE = 8192
"""... on an accelerator, which smaller ones don't fill."""
READ_BYTES = 128e6
"""What one timing reads at least: small matrices again and again."""


class MatrixPeak:
    """FLOP/s of a product of square matrices of random numbers."""

    def __init__(self, dtype: Dtype) -> None:
        self.size = PRODUCT_SIZE.get(jax.default_backend(), ACCELERATOR_SIZE)
        self.matrix = jax.random.normal(jax.random.key(0), (self.size, self.size), dtype)

    @property
    def flops(self) -> int:
        """Of the product."""
        return 2 * self.size**3

    def __call__(self) -> tuple[float]:
        """Seconds of one."""
        return (timed(lambda: _product(self.matrix, self.matrix))[0],)


class Reading:
    """Bytes per second at which a vector is multiplied with a float32 matrix of about so many bytes.

    It reads every number once, as a decode step at batch 1 does. A matrix that fits a processor's cache is
    read from there, unless something else was read in between.
    """

    def __init__(self, n_bytes: float) -> None:
        side = max(64, math.isqrt(int(n_bytes) // 4))
        noise = jax.random.normal(jax.random.key(0), (side, side))
        self.matrix = noise * side**-0.5  # so that a vector stays finite however often it is multiplied
        self.vector = jnp.ones((1, side))
        self.times = max(1, math.ceil(READ_BYTES / self.matrix.nbytes))

    @property
    def bytes(self) -> int:
        """Read in one timing."""
        return self.times * self.matrix.nbytes

    def __call__(self) -> tuple[float]:
        """Seconds of one timing."""
        return (timed(lambda: _read(self.vector, self.matrix, times=self.times))[0],)


@jax.jit
def _product(x: jax.Array, y: jax.Array) -> jax.Array:
    return x @ y


@partial(jax.jit, static_argnames="times")
def _read(vector: jax.Array, matrix: jax.Array, *, times: int) -> Any:
    return jax.lax.fori_loop(0, times, lambda _, v: v @ matrix, vector)
