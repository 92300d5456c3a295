"""Double precision for the analysis alone: nothing global is changed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from isoflop.analysis.laws import Law

CHUNK = 64
"""Parameter vectors evaluated in one call."""
POINTS = 64
"""Points are padded to a power of two times this: shapes of nearly one size share a program."""


@contextlib.contextmanager
def float64_on_cpu() -> Iterator[None]:
    """Double precision on the CPU within the block, whatever the process uses elsewhere."""
    import jax  # here: who reads a table or a fit needs none of it

    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.enable_x64(True))
        with contextlib.suppress(RuntimeError):
            stack.enter_context(jax.default_device(jax.devices("cpu")[0]))
        yield


def evaluate(law: Law, params: np.ndarray, *inputs: Any) -> np.ndarray:
    """The law at one parameter vector (shape P), or at each of B (BxP).

    `inputs`: N, D and the law's covariates. Loss in nats per token; its shape is that of the
    inputs broadcast, after a first dimension B if there is one.
    """
    params = np.asarray(params, dtype=float)
    arrays = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in inputs))
    N = arrays[0]
    size = POINTS * 2 ** int(np.ceil(np.log2(max(N.size / POINTS, 1.0))))
    padded = [np.pad(x.ravel(), (0, size - x.size), constant_values=1.0) for x in arrays]
    axes = (0, *(None for _ in padded))
    rows = np.atleast_2d(params)
    chunk = 1 if params.ndim == 1 else CHUNK
    parts = []
    with float64_on_cpu():
        for first in range(0, len(rows), chunk):
            take = np.minimum(np.arange(first, first + chunk), len(rows) - 1)
            parts.append(np.asarray(vectorized(law.predict, axes)(rows[take], *padded)))
    loss = np.concatenate(parts)[: len(rows), : N.size]
    return loss.reshape(N.shape if params.ndim == 1 else (len(rows), *N.shape))


def decoded(law: Law, theta: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Natural parameters at one theta (shape P), or at each of B (BxP); `centre`: see `Law`."""
    return _mapped(law.decode, theta, centre)


def encoded(law: Law, params: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """theta of one parameter vector (shape P), or of each of B (BxP): the inverse of `decoded`."""
    return _mapped(law.encode, params, centre)


def _mapped(function: Callable, rows: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    rows = np.asarray(rows, dtype=float)
    with float64_on_cpu():
        found = vectorized(function, (0, None, None))(np.atleast_2d(rows), *centre)
    return np.asarray(found, dtype=float).reshape(rows.shape)


@functools.cache
def vectorized(function: Callable, in_axes: tuple[int | None, ...] = (0,)) -> Callable:
    """The function compiled over a batch of its arguments; traced once a shape, not at every call."""
    import jax

    return jax.jit(jax.vmap(function, in_axes=in_axes))
