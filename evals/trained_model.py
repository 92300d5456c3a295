"""A model that was trained and kept, as measurements see it.

Shape suffixes: E windows, T targets of a window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from isoflop.base.errors import UserError
from isoflop.models import build
from isoflop.train import checkpoint
from isoflop.train.data.corpus import Corpus, load
from isoflop.train.loss import TokenScores, token_losses, token_scores
from isoflop.train.spec import CellSpec, Recipe
from isoflop.train.step import EVAL_BATCH, shape_of


@dataclass(frozen=True)
class TrainedModel:
    """A cell's recipe and length, the folder of its parameters and that of its corpus."""

    cell: CellSpec
    checkpoint: Path
    corpus_folder: Path

    @property
    def recipe(self) -> Recipe:
        """How it was trained."""
        return self.cell.recipe

    @cached_property
    def corpus(self) -> Corpus:
        """What it was trained on. Raises `UserError` if it is in the cache no more."""
        if not self.corpus_folder.is_dir():
            data = self.recipe.data
            raise UserError(
                f"{self.corpus_folder}, the prepared text of {data.source}, is gone: isoflop data prepare "
                f"{data.source} --tokenizer {data.tokenizer}"
            )
        return load(self.corpus_folder, self.recipe.data)

    @cached_property
    def params(self) -> Any:
        """Its parameters, a tree as `nnx.split` gives it; float32."""
        return checkpoint.restore_params(self.recipe.model, self.checkpoint)

    @property
    def graph(self) -> nnx.GraphDef[Any]:
        """The model without its parameters: `nnx.merge(graph, params)` is it."""
        return _graph(shape_of(self.recipe))

    def windows(self, count: int) -> NDArray[Any]:
        """`count` windows (count, T + 1) of the split that the run table's loss is of.

        Raises `UserError` for a text that has fewer.
        """
        return self.corpus.evaluation_windows(self.cell.split, self.recipe.model.context_length, count)

    def losses(self, windows_ExT1: NDArray[Any], params: Any = None) -> NDArray[np.float32]:
        """Cross-entropy (E, T) of each target, nats, under its own parameters or others of their shapes."""
        return np.asarray(self._run(token_losses, windows_ExT1, params))[: len(windows_ExT1)]

    def scores(self, windows_ExT1: NDArray[Any]) -> TokenScores:
        """Cross-entropy (E, T) of each target, nats, and whether its logit is above all others."""
        scores = self._run(token_scores, windows_ExT1, None)
        found: Any = [np.asarray(x)[: len(windows_ExT1)] for x in scores]
        return TokenScores(*found)

    def _run(self, score: Callable[..., Any], windows_ExT1: NDArray[Any], params: Any) -> Any:
        chosen = self.params if params is None else params
        # The compiled program takes whole batches: the last is filled up with windows from the beginning.
        order = np.arange(len(windows_ExT1) + -len(windows_ExT1) % EVAL_BATCH) % len(windows_ExT1)
        return _compiled(shape_of(self.recipe), score)(chosen, windows_ExT1[order])


@lru_cache(maxsize=64)
def _graph(recipe: Recipe) -> nnx.GraphDef[Any]:
    return nnx.graphdef(nnx.eval_shape(lambda: build(recipe.model, seed=0, dtype=recipe.dtype)))


@lru_cache(maxsize=64)
def _compiled(recipe: Recipe, score: Callable[..., Any]) -> Any:
    """One program for all models of a shape, whatever their seed, rate and length."""
    return jax.jit(partial(_scores, _graph(recipe), score))


def _scores(graph: nnx.GraphDef[Any], score: Callable[..., Any], params: Any, windows_ExT1: jax.Array) -> Any:
    model: Any = nnx.merge(graph, params)

    def one_batch(windows_BxT1: jax.Array) -> Any:
        features, _ = model.features(windows_BxT1[:, :-1])
        return score(features, model.unembedding(), windows_BxT1[:, 1:].astype(jnp.int32))

    batches = windows_ExT1.reshape(-1, EVAL_BATCH, windows_ExT1.shape[-1])
    by_batch = jax.lax.map(one_batch, batches)
    return jax.tree.map(lambda x: x.reshape(len(windows_ExT1), -1), by_batch)
