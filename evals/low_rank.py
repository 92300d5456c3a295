"""Loss after replacing each matrix by the nearest one of low rank: what factorizing trained matrices costs.

A matrix (in, out) of rank r is a product of r (in + out) numbers. The nearest one, in the sum of squares, is
that of the r largest singular values (Eckart and Young 1936). At a sparsity s the rank is the largest that
keeps a share of at most 1 - s of the matrix' numbers, so that `pruning` of the same sparsity keeps as many.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from isoflop.base.fields import Count, DistinctSome, Fraction, check_fields
from isoflop.evals.degradation import change_matrices, degradation
from isoflop.evals.measurement import Row
from isoflop.evals.trained_model import TrainedModel


@dataclass(frozen=True, kw_only=True)
class Options:
    """Matrices of low rank in the place of the trained ones, without training after it."""

    sparsities: DistinctSome[Fraction] = (0.1, 0.25, 0.5, 0.75)
    """Shares of each matrix' numbers that are saved, at least, from 0 up to but not 1."""
    windows: Count = 256
    """Held-out windows on which the loss is compared, before and after."""

    def __post_init__(self) -> None:
        check_fields(self)


def rank_at(sparsity: float, fan_in: int, fan_out: int) -> int:
    """The largest rank whose factors have at most a share 1 - `sparsity` of a matrix' numbers, or 0."""
    return int((1 - sparsity) * fan_in * fan_out / (fan_in + fan_out) + 1e-9)


def nearest(matrix_xIxO: jax.Array, sparsity: float) -> jax.Array:
    """The nearest matrix (..., in, out) of that rank; of a stack of matrices, of each."""
    rank = rank_at(sparsity, *matrix_xIxO.shape[-2:])
    left, values, right = jnp.linalg.svd(matrix_xIxO, full_matrices=False)
    return (left[..., :rank] * values[..., None, :rank]) @ right[..., :rank, :]


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """One row a sparsity."""
    windows = model.windows(options.windows)
    before_ExT = model.losses(windows)
    return [
        {"sparsity": sparsity}
        | degradation(before_ExT, model.losses(windows, _factorized(model.params, sparsity=sparsity)))
        for sparsity in options.sparsities
    ]


@partial(jax.jit, static_argnames="sparsity")
def _factorized(params: Any, *, sparsity: float) -> Any:
    return change_matrices(params, partial(nearest, sparsity=sparsity))
