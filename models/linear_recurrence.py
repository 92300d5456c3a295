"""The scan h_t = a_t h_{t-1} + b_t of each feature by itself, and its gradient.

Shape suffixes: B batch, T time, R features of the state.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

Scan = Literal["steps", "tree"]
UNROLLED = 8
"""Steps in one pass of the loop; of 1, 4 and 8 the fastest on a CPU."""


def implementation(device: Any) -> Scan:
    """The scan for a jax `device`.

    `steps`: one token after the other, T multiply-adds a feature, which a CPU does as fast as the products
    around it (some 100 microseconds a layer, of 2 windows of 128 tokens and 24 features, backward pass
    included; `tree` takes four times that, and ten seconds to compile). `tree`: about 2 log2 T steps of whole
    arrays, for machines that are as fast on a whole array as on one token of it.
    """
    return "steps" if device.platform == "cpu" else "tree"


def linear_recurrence(a_BxTxR: jax.Array, b_BxTxR: jax.Array, *, scan: Scan | None = None) -> jax.Array:
    """h (B, T, R) with h_t = a_t h_{t-1} + b_t, from zero. `scan`: by default that of `implementation`."""
    return _recurrence(scan or implementation(jax.devices()[0]), a_BxTxR, b_BxTxR)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recurrence(scan: Scan, a_BxTxR: jax.Array, b_BxTxR: jax.Array) -> jax.Array:
    return _by_steps(a_BxTxR, b_BxTxR) if scan == "steps" else _by_tree(a_BxTxR, b_BxTxR)


def _forward(scan: Scan, a_BxTxR: jax.Array, b_BxTxR: jax.Array) -> tuple[jax.Array, Any]:
    h_BxTxR: Any = _recurrence(scan, a_BxTxR, b_BxTxR)
    return h_BxTxR, (a_BxTxR, h_BxTxR)


def _backward(scan: Scan, kept: Any, dh_BxTxR: jax.Array) -> tuple[jax.Array, jax.Array]:
    # The gradient of b is the same recurrence backward in time: g_t = dh_t + a_{t+1} g_{t+1}. That of a_t is
    # g_t h_{t-1}.
    a_BxTxR, h_BxTxR = kept
    next_BxTxR = jnp.pad(a_BxTxR, ((0, 0), (0, 1), (0, 0)))[:, 1:]
    db_BxTxR = jnp.flip(_recurrence(scan, jnp.flip(next_BxTxR, 1), jnp.flip(dh_BxTxR, 1)), 1)
    before_BxTxR = jnp.pad(h_BxTxR, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    return db_BxTxR * before_BxTxR, db_BxTxR


_recurrence.defvjp(_forward, _backward)


def _by_steps(a_BxTxR: jax.Array, b_BxTxR: jax.Array) -> jax.Array:
    def step(h_BxR: jax.Array, ab: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        h_BxR = ab[0] * h_BxR + ab[1]
        return h_BxR, h_BxR

    by_time = jnp.swapaxes(a_BxTxR, 0, 1), jnp.swapaxes(b_BxTxR, 0, 1)
    h_TxBxR = jax.lax.scan(step, jnp.zeros_like(b_BxTxR[:, 0]), by_time, unroll=UNROLLED)[1]
    return jnp.swapaxes(h_TxBxR, 0, 1)


def _by_tree(a_BxTxR: jax.Array, b_BxTxR: jax.Array) -> jax.Array:
    """Blelloch (1990), section 1.4.1: h after two stretches is that of the second, and of the first decayed
    through the second."""

    def after(first: tuple[jax.Array, jax.Array], second: tuple[jax.Array, jax.Array]) -> Any:
        return first[0] * second[0], first[1] * second[0] + second[1]

    return jax.lax.associative_scan(after, (a_BxTxR, b_BxTxR), axis=1)[1]
