"""One attention kernel at one shape: its errors against the formula in float64, and its time.

Shape suffixes as in `isoflop.models.attention`, S keys' time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import seconds
from isoflop.models.attention import Kernel, attend, implementation
from isoflop.models.config import Dtype

HEADS = 4
MAX_LOGIT = 8.0
COMPARED_WINDOWS = 2
CHAINED = 20
CALL_SECONDS = 0.1


class Gradients(NamedTuple):
    """Of a weighted sum of the outputs, by queries, keys and values."""

    q: Any
    k: Any
    v: Any


def attention(
    kernel: Kernel, head_dim: int, context: int, windows: int, masked: bool, dtype: Dtype
) -> dict[str, Any]:
    """Errors of the outputs and of the worst of the three gradients (norm of the difference over the norm),
    and microseconds of a forward and backward pass; whether the product would choose this kernel."""
    q, k, v, weights = _inputs(head_dim, context, windows, dtype)
    documents = _documents(context, windows) if masked else None
    scale = MAX_LOGIT / head_dim

    def objective(q: jax.Array, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        out = attend(q, k, v, documents, scale=scale, kernel=kernel)
        return jnp.sum(out.astype(jnp.float32) * weights.astype(jnp.float32)), out

    step = jax.grad(objective, argnums=(0, 1, 2), has_aux=True)
    gradients, out = jax.jit(step)(q, k, v)
    some = slice(None, COMPARED_WINDOWS)
    kept = None if documents is None else np.asarray(documents[some])
    few = [_wide(x[some]) for x in (q, k, v, weights)]
    wanted, wanted_gradients = formula(few[0], few[1], few[2], few[3], kept, scale)
    errors = [_error(x[some], y) for x, y in zip((out, *gradients), (wanted, *wanted_gradients), strict=True)]
    chosen = implementation(jax.devices()[0], q.dtype, head_dim, length=context, masked=masked)
    return {
        "output_error": errors[0],
        "gradient_error": max(errors[1:]),
        "microseconds": 1e6 * _step_seconds(step, (q, k, v)),
        "chosen": chosen == kernel,
    }


def formula(
    q_BxTxHxC: NDArray[np.float64],
    k_BxSxHxC: NDArray[np.float64],
    v_BxSxHxC: NDArray[np.float64],
    weights_BxTxHxC: NDArray[np.float64],
    documents_BxT: NDArray[Any] | None,
    scale: float,
) -> tuple[NDArray[np.float64], Gradients]:
    """softmax(scale * Q K^T) V under the causal and the documents' mask, and the gradients of its weighted
    sum, written out."""
    q, k, v, weights = (np.moveaxis(x, 2, 1) for x in (q_BxTxHxC, k_BxSxHxC, v_BxSxHxC, weights_BxTxHxC))
    length = q.shape[2]
    allowed = np.tril(np.ones((length, length), bool))[None, None]
    if documents_BxT is not None:
        allowed = allowed & (documents_BxT[:, None, :, None] == documents_BxT[:, None, None, :])
    scores = np.where(allowed, scale * (q @ np.swapaxes(k, -1, -2)), -np.inf)
    p_BxHxTxS = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p_BxHxTxS /= p_BxHxTxS.sum(axis=-1, keepdims=True)
    out = p_BxHxTxS @ v
    dp = weights @ np.swapaxes(v, -1, -2)
    ds = scale * p_BxHxTxS * (dp - (dp * p_BxHxTxS).sum(axis=-1, keepdims=True))
    gradients = ds @ k, np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p_BxHxTxS, -1, -2) @ weights
    return np.moveaxis(out, 1, 2), Gradients(*(np.moveaxis(x, 1, 2) for x in gradients))


def _inputs(head_dim: int, context: int, windows: int, dtype: Dtype) -> list[jax.Array]:
    """Normal queries, keys and values, as QK-norm leaves them, and weights of the outputs."""
    keys = jax.random.split(jax.random.key(0), 4)
    shape = (windows, context, HEADS, head_dim)
    return [jax.random.normal(key, shape).astype(dtype) for key in keys]


def _documents(context: int, windows: int) -> jax.Array:
    """Numbers (B, T) of documents about a third of a window long."""
    ends = jax.random.bernoulli(jax.random.key(1), 3 / context, (windows, context))
    return jnp.cumsum(ends, axis=-1)


def _step_seconds(step: Any, qkv: Any) -> float:
    """Seconds of a forward and backward pass, in a loop on the device that hands on the gradients."""

    def chain(qkv: Any) -> Any:
        return jax.lax.fori_loop(0, CHAINED, lambda _, qkv: step(*qkv)[0], qkv)

    run = jax.jit(chain)
    seconds(lambda: run(qkv))
    calls = max(1, min(50, round(CALL_SECONDS / seconds(lambda: run(qkv)))))
    return seconds(lambda: [run(qkv) for _ in range(calls)][-1]) / (calls * CHAINED)


def _wide(x: jax.Array) -> NDArray[np.float64]:
    return np.asarray(x.astype(jnp.float32), np.float64)


def _error(x: jax.Array, wanted: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(_wide(x) - wanted) / np.linalg.norm(wanted))
