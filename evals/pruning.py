"""Loss after setting the smallest weights of each matrix to zero: what magnitude pruning costs.

Han et al. (2015), Learning both Weights and Connections, without training after it. Each matrix loses the
same share of its weights, those of least magnitude.
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
    """Magnitude pruning of the matrices, without training after it."""

    sparsities: DistinctSome[Fraction] = (0.1, 0.25, 0.5, 0.75)
    """Shares of each matrix' weights that are set to zero, from 0 up to but not 1."""
    windows: Count = 256
    """Held-out windows on which the loss is compared, before and after."""
    embeddings: bool = False
    """Prune the embedding too."""

    def __post_init__(self) -> None:
        check_fields(self)


def prune(matrix_xIxO: jax.Array, sparsity: float) -> jax.Array:
    """The matrix (..., in, out) with its `sparsity` share of weights of least magnitude set to zero; of a
    stack of matrices, of each."""
    flat_xW = jnp.abs(matrix_xIxO).reshape(*matrix_xIxO.shape[:-2], -1)
    count = round(sparsity * flat_xW.shape[-1])
    # By rank and not by a threshold, which equal magnitudes would carry beyond the share.
    rank_xW = jnp.argsort(jnp.argsort(flat_xW, axis=-1, stable=True), axis=-1)
    return jnp.where((rank_xW >= count).reshape(matrix_xIxO.shape), matrix_xIxO, 0)


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """One row a sparsity."""
    windows = model.windows(options.windows)
    before_ExT = model.losses(windows)
    rows: list[Row] = []
    for sparsity in options.sparsities:
        pruned = _pruned(model.params, sparsity=sparsity, embeddings=options.embeddings)
        rows.append({"sparsity": sparsity} | degradation(before_ExT, model.losses(windows, pruned)))
    return rows


@partial(jax.jit, static_argnames=("sparsity", "embeddings"))
def _pruned(params: Any, *, sparsity: float, embeddings: bool) -> Any:
    return change_matrices(params, partial(prune, sparsity=sparsity), embeddings=embeddings)
