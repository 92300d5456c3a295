"""Reading ahead of the device, by grain's threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

THREADS = 4
"""Readers: array_record reads and decompresses outside Python's lock."""

AHEAD = 8
"""Results kept waiting, so that a slow read among quick ones holds nothing up."""


def read_ahead(items: Sequence[S], read: Callable[[S], T]) -> Iterator[T]:
    """read(item) of each, in order, computed by threads while the caller works. `read` must be pure."""
    import grain  # half a second that runs without streaming needn't spend

    options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD)
    yield from grain.MapDataset.source(items).map(read).to_iter_dataset(options)
