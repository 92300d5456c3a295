"""Training windows for the compiled step: on the device where they fit or are made there, else read ahead."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from isoflop.train.data.corpus import Corpus
from isoflop.train.data.order import DataOrder
from isoflop.train.data.read_ahead import read_ahead

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


def chunks(corpus: Corpus, data_order: DataOrder, start: int, stop: int) -> Iterator[Chunk]:
    """The batches of steps `start` to `stop`, in stretches of at most CHUNK steps.

    Stretches end at multiples of CHUNK, so that a resumed run takes the same ones.
    """
    edges = [start, *range((start // CHUNK + 1) * CHUNK, stop, CHUNK), stop]
    stretches = list(itertools.pairwise(edges))
    context = data_order.context_length

    def order(stretch: tuple[int, int]) -> NDArray[np.int64]:
        return corpus.order(
            data_order.seed,
            *stretch,
            batch_size=data_order.batch_size,
            context=context,
            unique_windows=data_order.unique_windows,
        )

    if is_resident(corpus, context):
        windows = _resident(corpus, context)
        for stretch in stretches:
            yield Chunk(*stretch, windows, _padded(order(stretch)).astype(np.int32))
        return

    def fresh(stretch: tuple[int, int]) -> Chunk:
        index = _padded(order(stretch))
        rows = np.arange(index.size, dtype=np.int32).reshape(index.shape)
        return Chunk(*stretch, corpus.on_device("train", context, index.ravel()), rows)

    yield from map(fresh, stretches) if corpus.made_on_device else read_ahead(stretches, fresh)


def is_resident(corpus: Corpus, context: int) -> bool:
    """Whether all training windows are kept on the device."""
    tokens = corpus.n_windows("train", context) * (context + 1)
    return tokens * np.dtype(corpus.dtype).itemsize <= RESIDENT_BYTES


@lru_cache(maxsize=2)
def _resident(corpus: Corpus, context: int) -> jax.Array:
    return corpus.on_device("train", context, np.arange(corpus.n_windows("train", context)))


def _padded(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every call has CHUNK rows, so that one compiled program serves them all."""
    return np.concatenate([index, np.zeros((CHUNK - len(index), index.shape[1]), index.dtype)])
