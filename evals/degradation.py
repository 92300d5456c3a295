"""What a model loses when its matrices are changed, on the same windows before and after."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from isoflop.evals.measurement import Row
from isoflop.models.roles import Embedding, HiddenMatrix, Readout, is_variable

Change = Callable[[jax.Array], jax.Array]


def change_matrices(params: Any, change: Change, *, embeddings: bool = False) -> Any:
    """The parameters with `change` done to each matrix (..., in, out) that features are multiplied by.

    Those are the blocks' and the head, routers excepted. `embeddings`: the embedding's too, of which a row is
    a token's; a tied head is one, and changed with it only. Scales and convolutions stay.
    """
    roles: tuple[type[nnx.Param[Any]], ...] = (HiddenMatrix, Readout, *([Embedding] if embeddings else []))

    def one(parameter: Any) -> Any:
        # An embedding (V, D) is turned, so that a token's row is what an output's column is elsewhere.
        if isinstance(parameter, Embedding) and embeddings:
            return jax.tree.map(lambda x: change(x.T).T, parameter)
        return jax.tree.map(change, parameter) if isinstance(parameter, roles) else parameter

    return jax.tree.map(one, params, is_leaf=is_variable)


def degradation(before_ExT: NDArray[np.float32], after_ExT: NDArray[np.float32]) -> Row:
    """Columns of the loss after a change, nats per token, of what it rose by, and of the rise's standard
    error over windows: paired, so that what windows differ in drops out."""
    before_E, after_E = (x.mean(axis=1, dtype=np.float64) for x in (before_ExT, after_ExT))
    rise_E = after_E - before_E
    stderr = rise_E.std(ddof=1) / math.sqrt(len(rise_E)) if len(rise_E) > 1 else 0.0
    return {
        "loss": float(after_E.mean()),
        "loss_increase": float(rise_E.mean()),
        "loss_increase_stderr": float(stderr),
    }
