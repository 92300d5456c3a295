"""Double precision for the analysis alone: nothing global is changed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from isoflop.analysis.laws import Law, find_law, known_laws

CHUNK = 64
"""Parameter vectors evaluated in one call."""
VALUES = 1 << 16
"""Values computed in one call by numpy: half a megabyte for each array of them."""
POINTS = 64
"""Points are padded to a power of two times this: shapes of nearly one size share a program."""


@contextlib.contextmanager
def float64_on_cpu() -> Iterator[None]:
    """Double precision on the CPU within the block, whatever the process uses elsewhere.

    numpy is as silent there as JAX is: what overflows is inf or NaN, without a warning.
    """
    import jax  # here: who reads a table or a fit needs none of it

    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        stack.enter_context(jax.enable_x64(True))
        with contextlib.suppress(RuntimeError):
            stack.enter_context(jax.default_device(jax.devices("cpu")[0]))
        yield


def evaluate(law: Law, params: np.ndarray, *inputs: Any) -> np.ndarray:
    """The law at one parameter vector (shape P), or at each of B (BxP).

    `inputs`: N, D and the law's covariates. What the law predicts, nats per token for a loss; its shape is
    that of the inputs broadcast, after a first dimension B if there is one.
    """
    params = np.asarray(params, dtype=float)
    arrays = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in inputs))
    shape = arrays[0].shape
    flat = [np.ravel(x) for x in arrays]
    rows = np.atleast_2d(params)
    found_BxR = _in_numpy(law, rows, flat) if numpy_alone(law) else _compiled(law, rows, flat)
    return found_BxR.reshape(shape if params.ndim == 1 else (len(rows), *shape))


@functools.cache
def numpy_alone(law: Law) -> bool:
    """Whether the law is written for arrays of either kind (`array_namespace`): a formula then answers
    without JAX, whose import and compilation take longer than most questions.
    """
    one = np.ones(1)
    with np.errstate(all="ignore"):
        found = law.predict(np.ones(len(law.parameters)), one, one, *(one for _ in law.covariates))
    return isinstance(found, np.ndarray)


def _in_numpy(law: Law, params_BxP: np.ndarray, inputs: list[np.ndarray]) -> np.ndarray:
    R = inputs[0].size
    found_BxR = np.empty((len(params_BxP), R))
    # A law of this package takes many vectors at once; any other one by one.
    many = takes_columns(law)
    step = max(1, VALUES // max(R, 1)) if many else 1
    with np.errstate(all="ignore"):
        for first in range(0, len(params_BxP), step):
            rows = params_BxP[first : first + step]
            params = rows.T[..., None] if many else rows[0]
            found_BxR[first : first + step] = law.predict(params, *inputs)
    return found_BxR


def _compiled(law: Law, params_BxP: np.ndarray, inputs: list[np.ndarray]) -> np.ndarray:
    R, B = inputs[0].size, len(params_BxP)
    size = POINTS * 2 ** int(np.ceil(np.log2(max(R / POINTS, 1.0))))
    padded = [np.pad(x, (0, size - R), constant_values=1.0) for x in inputs]
    axes = (0, *(None for _ in padded))
    chunk = 1 if B == 1 else CHUNK
    parts = []
    with float64_on_cpu():
        for first in range(0, B, chunk):
            take = np.minimum(np.arange(first, first + chunk), B - 1)
            parts.append(np.asarray(vectorized(law.predict, axes)(params_BxP[take], *padded)))
    return np.concatenate(parts)[:B, :R]


def decoded(law: Law, theta: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Natural parameters at one theta (shape P), or at each of B (BxP); `centre`: see `Law`."""
    return _mapped(law, law.decode, theta, centre)


def encoded(law: Law, params: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """theta of one parameter vector (shape P), or of each of B (BxP): the inverse of `decoded`."""
    return _mapped(law, law.encode, params, centre)


def starting_params(law: Law, x_SxP: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Natural parameters at S points of the law's box, SxP."""
    if law.from_box is None:
        return decoded(law, x_SxP, centre)
    return _mapped(law, law.from_box, x_SxP)


def _mapped(law: Law, function: Callable, rows: np.ndarray, *centre: tuple[float, float]) -> np.ndarray:
    """`function` of each row: in numpy where all rows are one call; compiled, which costs a program, of any
    other law.
    """
    rows, given = np.asarray(rows, dtype=float), [x for pair in centre for x in pair]
    if takes_columns(law):
        with np.errstate(all="ignore"):
            found = function(np.atleast_2d(rows).T, *given).T
    else:
        with float64_on_cpu():
            found = vectorized(function, (0, *(None for _ in given)))(np.atleast_2d(rows), *given)
    return np.asarray(found, dtype=float).reshape(rows.shape)


def takes_columns(law: Law) -> bool:
    """Whether the law's functions take many vectors at once, as columns, in numpy."""
    return in_package(law.constraint.whole if law.constraint else law)


def in_package(law: Law) -> bool:
    """Whether the law is one of this package's, which keep its whole contract: not a file of the user's own,
    nor one made of another by fixed, tied or shared parameters.
    """
    return law.name in _names() and find_law(law.name) is law


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(known_laws())


@functools.cache
def vectorized(function: Callable, in_axes: tuple[int | None, ...] = (0,)) -> Callable:
    """The function compiled over a batch of its arguments; traced once a shape, not at every call."""
    import jax

    return jax.jit(jax.vmap(function, in_axes=in_axes))
