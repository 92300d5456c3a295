"""Causal attention as a CPU likes it: no product of transposed matrices, weights kept for the gradient.

Shape suffixes: N all heads of all windows of the batch, T queries, S keys, C features of a head.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MASKED = -1e30
"""Finite, so that a difference of two is a number: minus infinity less itself is none."""


def plain_attention(
    q_BxTxHxC: jax.Array,
    k_BxTxKxC: jax.Array,
    v_BxTxKxC: jax.Array,
    mask_Bx1xTxT: jax.Array | None = None,
    *,
    scale: float,
) -> jax.Array:
    """softmax(scale * Q K^T) V (B, T, H, C) over each token and what the mask allows of those before it.

    Key-value heads serve H / K query heads each. Scores and their softmax are float32.
    """
    batch, length, heads, features = q_BxTxHxC.shape
    groups = heads // k_BxTxKxC.shape[2]
    # Repeated, so that all query heads are one batched product.
    k, v = (x if groups == 1 else jnp.repeat(x, groups, axis=2) for x in (k_BxTxKxC, v_BxTxKxC))
    # The scale goes into the queries: T C products a head and not T^2.
    scaled = q_BxTxHxC * jnp.asarray(scale, q_BxTxHxC.dtype)
    allowed = np.tril(np.ones((length, length), bool))[None]
    if mask_Bx1xTxT is not None:
        allowed = jnp.repeat(allowed & mask_Bx1xTxT[:, 0], heads, axis=0)
    mixed_NxTxC = _attend(_heads_first(scaled), _heads_first(k), _heads_first(v), jnp.asarray(allowed))
    return jnp.swapaxes(mixed_NxTxC.reshape(batch, heads, length, features), 1, 2)


def _heads_first(x_BxTxHxC: jax.Array) -> jax.Array:
    batch, length, heads, features = x_BxTxHxC.shape
    return jnp.swapaxes(x_BxTxHxC, 1, 2).reshape(batch * heads, length, features)


@jax.custom_vjp
def _attend(q: jax.Array, k: jax.Array, v: jax.Array, allowed_NxTxS: jax.Array) -> jax.Array:
    return _forward(q, k, v, allowed_NxTxS)[0]


def _forward(q: jax.Array, k: jax.Array, v: jax.Array, allowed_NxTxS: jax.Array) -> tuple[jax.Array, Any]:
    scores_NxTxS = jnp.einsum("ntc,nsc->nts", q, k, preferred_element_type=jnp.float32)
    # A token sees itself at least, so that each maximum is a true score and exp(MASKED - it) is exactly zero.
    scores_NxTxS = jnp.where(allowed_NxTxS, scores_NxTxS, MASKED)
    # Not yet divided by their sum: that is done to C features of a query instead of to its S weights.
    weights_NxTxS = jnp.exp(scores_NxTxS - scores_NxTxS.max(axis=-1, keepdims=True))
    inverse_NxTx1 = 1 / weights_NxTxS.sum(axis=-1, keepdims=True)
    weights_NxTxS = weights_NxTxS.astype(q.dtype)
    mixed = jnp.einsum("nts,nsc->ntc", weights_NxTxS, v, preferred_element_type=jnp.float32) * inverse_NxTx1
    mixed = mixed.astype(q.dtype)
    return mixed, (q, k, v, mixed, weights_NxTxS, inverse_NxTx1)


def _backward(kept: Any, d_mixed: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    """Dao et al. (2022), appendix B.2: the softmax' own sum is that of d_mixed * mixed."""
    q, k, v, mixed, weights_NxTxS, inverse_NxTx1 = kept
    # The weights were kept undivided: their division is moved to the gradient of what they mixed.
    d = d_mixed * inverse_NxTx1.astype(d_mixed.dtype)
    sum_NxTx1 = jnp.sum(d.astype(jnp.float32) * mixed, axis=-1, keepdims=True)
    d_weights_NxTxS = jnp.einsum("ntc,nsc->nts", d, v, preferred_element_type=jnp.float32)
    d_scores_NxTxS = (weights_NxTxS * (d_weights_NxTxS - sum_NxTx1)).astype(q.dtype)
    dq = jnp.einsum("nts,nsc->ntc", d_scores_NxTxS, k)
    return dq, _over_queries(d_scores_NxTxS, q), _over_queries(weights_NxTxS, d), None


def _over_queries(a_NxTxS: jax.Array, b_NxTxC: jax.Array) -> jax.Array:
    """The sum over T of a b (N, S, C), as b^T a and turned: no large matrix is transposed on the way."""
    turned_NxCxS = jax.lax.dot_general(b_NxTxC, a_NxTxS, (((1,), (1,)), ((0,), (0,))))
    return jnp.swapaxes(turned_NxCxS, 1, 2)


_attend.defvjp(_forward, _backward)
