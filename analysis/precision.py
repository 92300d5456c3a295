"""Double precision for the analysis alone: nothing global is changed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from analysis.laws import Law

CHUNK = 64
"""Parameter vectors evaluated in one call."""


@contextlib.contextmanager
def float64_on_cpu() -> Iterator[None]:
    """Double precision on the CPU within the block, whatever the process uses elsewhere."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.enable_x64(True))
        with contextlib.suppress(RuntimeError):
            stack.enter_context(jax.default_device(jax.devices("cpu")[0]))
        yield


def evaluate(law: Law, params: np.ndarray, N: Any, D: Any) -> np.ndarray:
    """The law at one parameter vector (shape P), or at each of B (BxP): loss in nats, shape (B,) + N and
    D's.
    """
    params = np.asarray(params, dtype=float)
    N, D = np.broadcast_arrays(np.asarray(N, dtype=float), np.asarray(D, dtype=float))
    with float64_on_cpu():
        if params.ndim == 1:
            return np.asarray(law.predict(params, N, D), dtype=float)
        many = _vectorized(law.predict)
        chunks = [params[first : first + CHUNK] for first in range(0, len(params), CHUNK)]
        return np.concatenate([np.asarray(many(chunk, N, D)) for chunk in chunks])


@functools.cache
def _vectorized(predict: Callable) -> Callable:
    return jax.jit(jax.vmap(predict, in_axes=(0, None, None)))
