"""What decoding keeps of the tokens so far, so that a further one costs no forward pass over all of them.

Shape suffixes: B sequences, T new tokens, S slots of the cache, K key-value heads, C features of a head,
L tokens before that the convolution of keys and values reads, F keys' and values' features, E experts.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from isoflop.models.config import Dtype, ModelConfig


class LayerCache(NamedTuple):
    """One layer's. Keys stand rotated, in the slots of their positions.

    `recent_BxLxF`: keys and values of the last tokens before their convolution, zero before the first token.
    `assigned_BxE`: assignments to each expert so far, None in a dense layer.
    """

    keys_BxSxKxC: jax.Array
    values_BxSxKxC: jax.Array
    recent_BxLxF: jax.Array
    assigned_BxE: jax.Array | None


class Cache(NamedTuple):
    """All layers' and the tokens so far of each sequence, `length_B`.

    `documents_BxS`: the number of each token's document in its sequence, and `separators_B`, those seen so
    far; both None in a model that attends across documents.
    """

    length_B: jax.Array
    documents_BxS: jax.Array | None
    separators_B: jax.Array | None
    layers: tuple[LayerCache, ...]


class NewTokens(NamedTuple):
    """Where a chunk's tokens stand: the same for all layers.

    `count_B`: how many of a sequence's T tokens are its own; those after are padding, which nothing sees.
    `visible_BxTxS`: the slots that each may attend to. `documents_BxLT`: of the tokens that the convolution
    reads, the L before and the new ones.
    """

    positions_BxT: jax.Array
    count_B: jax.Array
    visible_BxTxS: jax.Array
    documents_BxLT: jax.Array | None


def empty_cache(config: ModelConfig, *, batch: int, slots: int, dtype: Dtype) -> Cache:
    """The cache before the first token, with room for `slots` tokens of each of `batch` sequences."""
    c = config
    shape = (batch, slots, c.kv_heads, c.head_dim)
    layer = LayerCache(
        keys_BxSxKxC=jnp.zeros(shape, dtype),
        values_BxSxKxC=jnp.zeros(shape, dtype),
        recent_BxLxF=jnp.zeros((batch, c.kv_convolution - 1, c.kv_width), dtype),
        assigned_BxE=jnp.zeros((batch, c.routed), jnp.int32) if c.experts > 1 else None,
    )
    none_yet_B = jnp.zeros(batch, jnp.int32)
    separated = c.document_separator is not None
    return Cache(
        length_B=none_yet_B,
        documents_BxS=jnp.zeros((batch, slots), jnp.int32) if separated else None,
        separators_B=none_yet_B if separated else None,
        layers=(layer,) * c.depth,
    )


def place(
    config: ModelConfig, cache: Cache, tokens_BxT: jax.Array, count_B: jax.Array
) -> tuple[NewTokens, Cache]:
    """Where new tokens stand after those of the cache, and the cache with their documents and number."""
    new = tokens_BxT.shape[1]
    slots = cache.layers[0].keys_BxSxKxC.shape[1]
    positions_BxT = cache.length_B[:, None] + jnp.arange(new)
    # A padding's slot lies at or beyond its sequence's length: it is written anew before a token sees it.
    visible_BxTxS = jnp.arange(slots) <= positions_BxT[..., None]
    after = cache._replace(length_B=cache.length_B + count_B)
    if cache.documents_BxS is None or cache.separators_B is None:
        return NewTokens(positions_BxT, count_B, visible_BxTxS, None), after
    separators_BxT = (tokens_BxT == config.document_separator).astype(jnp.int32)
    documents_BxT = cache.separators_B[:, None] + jnp.cumsum(separators_BxT, axis=1) - separators_BxT
    documents_BxS = write(cache.documents_BxS, documents_BxT, positions_BxT)
    own_BxT = jnp.arange(new) < count_B[:, None]
    after = after._replace(
        documents_BxS=documents_BxS,
        separators_B=cache.separators_B + jnp.sum(separators_BxT * own_BxT, axis=1),
    )
    visible_BxTxS &= documents_BxT[..., None] == documents_BxS[:, None, :]
    # Before the first token there is nothing to read, whatever its document: any number does.
    before_BxL = jnp.maximum(cache.length_B[:, None] + jnp.arange(1 - config.kv_convolution, 0), 0)
    read_BxL = jnp.take_along_axis(documents_BxS, before_BxL, axis=1)
    documents_BxLT = jnp.concatenate([read_BxL, documents_BxT], axis=1)
    return NewTokens(positions_BxT, count_B, visible_BxTxS, documents_BxLT), after


def write(slots_BxSx: jax.Array, new_BxTx: jax.Array, positions_BxT: jax.Array) -> jax.Array:
    """The slots with those at `positions_BxT` replaced; positions beyond the last slot are left out."""
    rows_Bx1 = jnp.arange(len(slots_BxSx))[:, None]
    return slots_BxSx.at[rows_Bx1, positions_BxT].set(new_BxTx, mode="drop", unique_indices=True)
