"""How far training has moved a model's features and logits: the coordinate check.

Yang et al. (2021, appendix D.1): after a few steps at one rate the change of an activation is as large at
every width where the parametrization is right, and grows or shrinks with the width where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isoflop.base.fields import Count, check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.trained_model import TrainedModel
from isoflop.models import build
from isoflop.train.spec import Recipe
from isoflop.train.step import shape_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """How far training has moved the features and the logits, on held-out windows."""

    windows: Count = 16
    """Held-out windows, the same for all models of a context."""

    def __post_init__(self) -> None:
        check_fields(self)


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """One row: root mean square changes since initialization of the normalized features that the head reads,
    and of the logits."""
    tokens = jnp.asarray(model.windows(options.windows)[:, :-1])
    moved = _compiled(shape_of(model.recipe))(model.params, model.recipe.init_seed, tokens)
    return [{name: float(np.sqrt(square)) for name, square in moved.items()}]


@lru_cache(maxsize=64)
def _compiled(recipe: Recipe) -> Any:
    """One program for all models of a shape, whatever their seed, rate and length."""
    return jax.jit(partial(_changes, recipe))


def _changes(recipe: Recipe, params: Any, seed: jax.Array, tokens_ExT: jax.Array) -> dict[str, jax.Array]:
    """Mean squared changes."""
    first: Any = build(recipe.model, seed=seed, dtype=recipe.dtype)
    now: Any = nnx.merge(nnx.graphdef(first), params)

    def of_window(tokens_T: jax.Array) -> dict[str, jax.Array]:
        tokens_1xT = tokens_T[None]
        (features, _), (features_before, _) = now.features(tokens_1xT), first.features(tokens_1xT)
        changes = {
            "features_change": features - features_before,
            "logits_change": now(tokens_1xT) - first(tokens_1xT),
        }
        return {name: jnp.mean(jnp.square(x.astype(jnp.float32))) for name, x in changes.items()}

    # One window after the other: the logits of many windows together would fill the memory.
    return jax.tree.map(jnp.mean, jax.lax.map(of_window, tokens_ExT))
