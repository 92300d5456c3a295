"""Which windows training takes when: pure functions of seed and position, so that resuming needs no state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DataOrder:
    """In which order training takes which windows: `batch_size` of `context_length` tokens a step.

    `unique_windows`: how many it draws before it repeats those; None: the corpus says.
    """

    batch_size: int
    context_length: int
    seed: int
    unique_windows: int | None = None


ARRANGEMENT = 2**64 - 1
"""Where a pass' number would stand in Philox's key: no run makes so many passes."""


def passes(seed: int, start: int, stop: int, n_windows: int) -> NDArray[np.int64]:
    """Window indices (stop - start,) at positions `start` to `stop`.

    Each pass over the corpus is a fresh permutation; no window comes twice within a pass.
    """
    position = np.arange(start, stop)
    epochs = position // n_windows
    index = np.empty_like(position)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        index[here] = _permutation(seed, int(epoch), n_windows)[position[here] % n_windows]
    return index


def repeated(seed: int, start: int, stop: int, n_unique: int) -> NDArray[np.int64]:
    """Which of the first `n_unique` draws (stop - start,) come at positions `start` to `stop`.

    The first pass takes them as they are drawn, so that a run that repeats begins as one that doesn't; each
    later pass is a fresh permutation.
    """
    position = np.arange(start, stop)
    later = position >= n_unique
    if later.any():
        position[later] = passes(seed, max(start, n_unique), stop, n_unique)
    return position


def arranged(
    seed: int, start: int, stop: int, weights: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The part (stop - start,) that each position draws from, and the draws (parts,) before `start`.

    Every block of sum(weights) positions draws from part i exactly weights[i] times, in an order of its own.
    """
    block = sum(weights)
    first, last = start // block, -(-stop // block)
    bits = _bits(seed, first * block, last * block).reshape(last - first, block)
    parts = np.repeat(np.arange(len(weights)), weights)[np.argsort(bits, axis=1, kind="stable")].ravel()
    lead = start - first * block
    before = first * np.asarray(weights) + np.bincount(parts[:lead], minlength=len(weights))
    return parts[lead : lead + stop - start], before


# NumPy promises that Philox's raw bits never change, and promises no such thing of `permutation`.


def _bits(seed: int, start: int, stop: int) -> NDArray[np.uint64]:
    """Words `start` to `stop` of one endless stream; Philox counts in fours."""
    philox = np.random.Philox(key=np.array([seed, ARRANGEMENT], dtype=np.uint64)).advance(start // 4)
    return philox.random_raw(stop - start + start % 4)[start % 4 :]


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    bits = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw(n)
    return np.argsort(bits, kind="stable")
