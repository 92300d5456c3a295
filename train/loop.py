"""Trains one segment and evaluates one cell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from train import checkpoint
from train.batches import CHUNK, chunks
from train.corpus import Corpus
from train.schedules import learning_rates
from train.spec import CellSpec, Segment
from train.step import EVAL_BATCH, State, programs

Progress = Callable[[int, float], None]
"""Called with (steps done of the segment, latest training loss)."""


@dataclass(frozen=True)
class Trained:
    """A segment's outcome. `losses` (steps run,): training loss of each step, nats per token; shorter than
    the segment if the loss stopped being finite. `seconds`: of training, compilation included.
    `step_seconds`: of one step once compiled, None for a segment too short to tell."""

    state: State
    losses: NDArray[np.float32]
    seconds: float
    step_seconds: float | None

    @property
    def diverged(self) -> bool:
        """Whether the last loss is not a finite number."""
        return not np.isfinite(self.losses[-1])


def run_segment(
    segment: Segment, corpus: Corpus, parent: Path | None, progress: Progress = lambda steps, loss: None
) -> Trained:
    """Trains the segment from the checkpoint `parent`, or from initialization where it is None."""
    began = time.perf_counter()
    recipe = segment.recipe
    program = programs(recipe)
    state = program.init(recipe.init_seed) if parent is None else checkpoint.restore(recipe, parent)
    decay = np.float32(recipe.optimizer.weight_decay)
    losses: list[NDArray[np.float32]] = []
    paces: list[float] = []
    for chunk in chunks(corpus, recipe, segment.start, segment.stop):
        peak, total = recipe.optimizer.peak_lr, segment.total
        rates = np.zeros(CHUNK, dtype=np.float32)
        steps = chunk.stop - chunk.start
        called = time.perf_counter()
        rates[:steps] = learning_rates(recipe.schedule, peak, chunk.start, chunk.stop, total)
        state, chunk_losses = program.train(state, chunk.windows, chunk.rows, rates, decay, steps)
        losses.append(np.asarray(chunk_losses)[:steps])
        paces.append((time.perf_counter() - called) / steps)
        progress(chunk.stop - segment.start, float(losses[-1][-1]))
        if not np.isfinite(losses[-1]).all():
            break
    return Trained(
        state=state,
        losses=_until_not_finite(np.concatenate(losses)),
        seconds=time.perf_counter() - began,
        step_seconds=float(np.median(paces[1:])) if len(paces) > 1 else None,
    )


def evaluate(cell: CellSpec, state: State, corpus: Corpus) -> NDArray[np.float32]:
    """Loss of each of the cell's evaluation windows (eval_windows,), nats per token."""
    context = cell.recipe.model.context_length
    windows = corpus.evaluation_windows(cell.split, context, cell.eval_windows)
    short = -len(windows) % EVAL_BATCH
    padded = np.concatenate([windows, windows[:short]]) if short else windows
    losses = programs(cell.recipe).evaluate(state.params, jnp.asarray(padded))
    return np.asarray(losses)[: cell.eval_windows]


def _until_not_finite(losses: NDArray[np.float32]) -> NDArray[np.float32]:
    bad = np.flatnonzero(~np.isfinite(losses))
    return losses[: bad[0] + 1] if len(bad) else losses
