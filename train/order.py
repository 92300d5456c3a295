"""Which windows each step trains on: a pure function of (seed, step), so that resuming needs no state."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def batch_windows(seed: int, start: int, stop: int, *, batch_size: int, n_windows: int) -> NDArray[np.int64]:
    """Window indices (stop - start, batch_size) of steps `start` to `stop`.

    Each pass over the corpus is a fresh permutation; no window comes twice within a pass.
    """
    position = np.arange(start * batch_size, stop * batch_size)
    epochs = position // n_windows
    index = np.empty_like(position)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        index[here] = _permutation(seed, int(epoch), n_windows)[position[here] % n_windows]
    return index.reshape(stop - start, batch_size)


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    # NumPy promises that Philox's raw bits never change, and promises no such thing of `permutation`.
    bits = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw(n)
    return np.argsort(bits, kind="stable")
