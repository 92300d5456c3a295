"""Training windows for the compiled step: from the device where the corpus fits, else streamed ahead."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from train.corpus import Corpus
from train.order import batch_windows
from train.spec import Recipe

RESIDENT_BYTES = 1 << 30
"""A corpus up to this size is kept on the device whole."""

CHUNK = 128
"""Steps a compiled call takes: enough to hide the dispatch, few enough to follow the loss."""


class Chunk(NamedTuple):
    """Steps `start` to `stop`: the `rows` (CHUNK, B) of `windows` (W, T+1) that each takes."""

    start: int
    stop: int
    windows: Any
    rows: NDArray[np.int32]


def chunks(corpus: Corpus, recipe: Recipe, start: int, stop: int) -> Iterator[Chunk]:
    """The batches of steps `start` to `stop`, in stretches of at most CHUNK steps.

    Stretches end at multiples of CHUNK, so that a resumed run takes the same ones.
    """
    context = recipe.model.context_length
    n_windows = corpus.n_windows("train", context)
    edges = [start, *range((start // CHUNK + 1) * CHUNK, stop, CHUNK), stop]
    plan = [
        (a, b, batch_windows(recipe.data_seed, a, b, batch_size=recipe.batch_size, n_windows=n_windows))
        for a, b in itertools.pairwise(edges)
    ]
    if n_windows * (context + 1) * np.dtype(corpus.dtype).itemsize <= RESIDENT_BYTES:
        windows = _resident(corpus, context)
        yield from (Chunk(a, b, windows, _padded(index)) for a, b, index in plan)
    else:
        yield from _streamed(corpus, context, plan)


@lru_cache(maxsize=2)
def _resident(corpus: Corpus, context: int) -> jax.Array:
    count = corpus.n_windows("train", context)
    return jnp.asarray(corpus.windows("train", context, np.arange(count)))


def _streamed(corpus: Corpus, context: int, plan: list[Any]) -> Iterator[Chunk]:
    """Reads one stretch ahead in a thread while the device works on the one before."""

    def read(item: tuple[int, int, NDArray[np.int64]]) -> Chunk:
        a, b, index = item
        windows = np.zeros((CHUNK * index.shape[1], context + 1), corpus.dtype)
        windows[: index.size] = corpus.windows("train", context, index.ravel())
        rows = np.arange(index.size, dtype=np.int64).reshape(index.shape)
        return Chunk(a, b, jnp.asarray(windows), _padded(rows))

    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = reader.submit(read, plan[0])
        for item in [*plan[1:], None]:
            ready = waiting.result()
            if item is not None:
                waiting = reader.submit(read, item)
            yield ready


def _padded(index: NDArray[np.int64]) -> NDArray[np.int32]:
    """Every call has CHUNK rows, so that one compiled program serves them all."""
    padded = np.zeros((CHUNK, index.shape[1]), dtype=np.int32)
    padded[: len(index)] = index
    return padded
