"""Several pieces of work, timed in rounds: each round times every one of them once.

What else runs on a machine comes and goes. In rounds it slows all of them alike, and not one of them much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

Clock = Callable[[], float]
"""Seconds since some moment; never goes back."""
Key = TypeVar("Key")


def timed(work: Callable[[], Any], clock: Clock = time.perf_counter) -> tuple[float, Any]:
    """Seconds that `work` takes, its arrays waited for, and what it gives."""
    began = clock()
    result = jax.block_until_ready(work())
    return clock() - began, result


def in_rounds(works: Mapping[Key, Callable[[], Sequence[float]]], rounds: int) -> dict[Key, np.ndarray]:
    """Of each of the works, which give seconds of their parts, an array (rounds, parts).

    All are done once before the first round, which compiles them and is not counted.
    """
    found: dict[Key, list[Sequence[float]]] = {key: [] for key in works}
    for number in range(rounds + 1):
        for key, work in works.items():
            seconds = work()
            if number:
                found[key].append(seconds)
    return {key: np.array(seconds) for key, seconds in found.items()}


def spread(seconds_R: np.ndarray) -> dict[str, float]:
    """Columns of repeated timings: the median, the fastest, and the quartiles about the median."""
    low, median, high = np.quantile(seconds_R, [0.25, 0.5, 0.75])
    return {
        "seconds": float(median),
        "seconds_fastest": float(seconds_R.min()),
        "seconds_low": float(low),
        "seconds_high": float(high),
    }
