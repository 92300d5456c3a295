"""Causal self-attention: rotary positions, QK-norm, grouped key-value heads, keys and values convolved over a
few tokens, documents kept apart.

Shape suffixes: B batch, T time, D width, H query heads, K key-value heads, C features of a head.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from isoflop.models.config import Dtype, ModelConfig
from isoflop.models.kv_cache import LayerCache, NewTokens, write
from isoflop.models.layers import CausalConvolution, Linear, RMSNorm
from isoflop.models.plain_attention import MASKED, plain_attention

Kernel = Literal["plain", "cudnn", "xla"]


def rotary_angles(length: int, head_dim: int, base: float) -> jax.Array:
    """Angles (T, C/2) of Su et al. (2021), equation 15."""
    inverse_frequency = base ** (-jnp.arange(head_dim // 2) / (head_dim // 2))
    return jnp.arange(length)[:, None] * inverse_frequency[None, :]


def rotate(x_BxTxHxC: jax.Array, angles_xTxC2: jax.Array) -> jax.Array:
    """Turn each pair of features (i, i + C/2) by its position's angle, computed in float32.

    The angles are those of all sequences, or of each (B, T, C/2).
    """
    cos, sin = jnp.cos(angles_xTxC2)[..., None, :], jnp.sin(angles_xTxC2)[..., None, :]
    a, b = jnp.split(x_BxTxHxC.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1).astype(x_BxTxHxC.dtype)


def documents(tokens_BxT: jax.Array, separator: int) -> jax.Array:
    """Number (B, T) of each token's document in its window; a separator belongs to the one it ends."""
    separators = (tokens_BxT == separator).astype(jnp.int32)
    return jnp.cumsum(separators, axis=-1) - separators


def implementation(device: Any, dtype: Any, head_dim: int, *, length: int, masked: bool) -> Kernel:
    """The kernel for a jax `device`: our own on a CPU, else that of `jax.nn.dot_product_attention`.

    `plain`: see `plain_attention`. `cudnn` (flash attention: no scores in memory, no work on the
    causal mask's half) in half precision on NVIDIA GPUs of compute capability 8.0 or more, for heads of a
    multiple of 8 features, at most 128. With a mask it wants an even `length`. Else `xla`.
    """
    capability = str(getattr(device, "compute_capability", ""))  # "9.0" on CUDA, "gfx942" on ROCm
    ampere = device.platform == "gpu" and capability[:1].isdigit() and float(capability) >= 8.0
    half = jnp.dtype(dtype) in (jnp.bfloat16, jnp.float16)
    fits = head_dim % 8 == 0 and head_dim <= 128 and not (masked and length % 2)
    if device.platform == "cpu":
        return "plain"
    return "cudnn" if ampere and half and fits else "xla"


def attend(
    q_BxTxHxC: jax.Array,
    k_BxTxKxC: jax.Array,
    v_BxTxKxC: jax.Array,
    documents_BxT: jax.Array | None = None,
    *,
    scale: float,
    kernel: Kernel | None = None,
) -> jax.Array:
    """softmax(scale * Q K^T) V (B, T, H, C), each token over itself and what precedes it.

    With `documents_BxT`, over what precedes it in its own document. Softmax in float32. `kernel`: by default
    the one that `implementation` chooses.
    """
    mask_Bx1xTxT = None  # and so flash attention stays possible at any length
    if documents_BxT is not None:
        mask_Bx1xTxT = (documents_BxT[:, :, None] == documents_BxT[:, None, :])[:, None]
    _, length, _, head_dim = q_BxTxHxC.shape
    kernel = kernel or implementation(
        jax.devices()[0], q_BxTxHxC.dtype, head_dim, length=length, masked=mask_Bx1xTxT is not None
    )
    if kernel == "plain":
        return plain_attention(q_BxTxHxC, k_BxTxKxC, v_BxTxKxC, mask_Bx1xTxT, scale=scale)
    return jax.nn.dot_product_attention(
        q_BxTxHxC, k_BxTxKxC, v_BxTxKxC, mask=mask_Bx1xTxT, scale=scale, is_causal=True, implementation=kernel
    )


def attend_cached(
    q_BxTxHxC: jax.Array,
    k_BxSxKxC: jax.Array,
    v_BxSxKxC: jax.Array,
    visible_BxTxS: jax.Array,
    *,
    scale: float,
) -> jax.Array:
    """softmax(scale * Q K^T) V (B, T, H, C) over the slots that are visible to each query.

    Softmax in float32. A cache is read where it lies: key-value heads aren't repeated for their query heads.
    """
    batch, new, heads, features = q_BxTxHxC.shape
    kv_heads = k_BxSxKxC.shape[2]
    q_BxTxKxGxC = (q_BxTxHxC * jnp.asarray(scale, q_BxTxHxC.dtype)).reshape(
        batch, new, kv_heads, heads // kv_heads, features
    )
    scores = jnp.einsum("btkgc,bskc->bkgts", q_BxTxKxGxC, k_BxSxKxC, preferred_element_type=jnp.float32)
    scores = jnp.where(visible_BxTxS[:, None, None], scores, MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(q_BxTxHxC.dtype)
    mixed = jnp.einsum("bkgts,bskc->btkgc", weights, v_BxSxKxC, preferred_element_type=jnp.float32)
    return mixed.reshape(q_BxTxHxC.shape).astype(q_BxTxHxC.dtype)


class Attention(nnx.Module):
    """Keys and values take in the tokens just before; queries and keys are normalized with learned scales
    (Henry et al. 2020), then rotated.

    A norm of C features has length sqrt(C), so that q.k is at most C before the scales are learned.
    """

    def __init__(self, config: ModelConfig, *, dtype: Dtype, rngs: nnx.Rngs) -> None:
        self.config = config
        bias = config.attention_bias
        linear_map = partial(Linear, dtype=dtype, rngs=rngs, bias=bias, bits=config.weight_bits)
        self.qkv = linear_map(config.width, config.qkv_width, gain=1.0)
        self.convolution = CausalConvolution(config.kv_convolution, config.kv_width)
        self.out = linear_map(config.attention_width, config.width, gain=0.0)
        self.query_norm = RMSNorm(config.head_dim, config.norm_eps)
        self.key_norm = RMSNorm(config.head_dim, config.norm_eps)

    def __call__(self, x_BxTxD: jax.Array, documents_BxT: jax.Array | None = None) -> jax.Array:
        c = self.config
        batch, length, _ = x_BxTxD.shape
        queries, keys_values = jnp.split(self.qkv(x_BxTxD), [c.attention_width], axis=-1)
        keys_values = self.convolution(keys_values, documents_BxT)
        q, k, v = self._heads(queries, keys_values, rotary_angles(length, c.head_dim, c.rope_base))
        mixed = attend(q, k, v, documents_BxT, scale=c.max_attention_logit / c.head_dim)
        return self.out(mixed.reshape(batch, length, c.attention_width))

    def extend(self, x_BxTxD: jax.Array, cache: LayerCache, new: NewTokens) -> tuple[jax.Array, LayerCache]:
        """The same for tokens that go on from a cache, and the cache with theirs."""
        c = self.config
        batch, length, _ = x_BxTxD.shape
        queries, keys_values = jnp.split(self.qkv(x_BxTxD), [c.attention_width], axis=-1)
        before = c.kv_convolution - 1
        read_BxLTxF = jnp.concatenate([cache.recent_BxLxF, keys_values], axis=1)
        keys_values = self.convolution(read_BxLTxF, new.documents_BxLT)[:, before:]
        angles = rotary_angles(cache.keys_BxSxKxC.shape[1], c.head_dim, c.rope_base)
        q, k, v = self._heads(queries, keys_values, angles[new.positions_BxT])
        last_BxL = new.count_B[:, None] + jnp.arange(before)
        cache = cache._replace(
            keys_BxSxKxC=write(cache.keys_BxSxKxC, k, new.positions_BxT),
            values_BxSxKxC=write(cache.values_BxSxKxC, v, new.positions_BxT),
            recent_BxLxF=jnp.take_along_axis(read_BxLTxF, last_BxL[..., None], axis=1),
        )
        mixed = attend_cached(
            q,
            cache.keys_BxSxKxC,
            cache.values_BxSxKxC,
            new.visible_BxTxS,
            scale=c.max_attention_logit / c.head_dim,
        )
        return self.out(mixed.reshape(batch, length, c.attention_width)), cache

    def _heads(
        self, queries_BxTx: jax.Array, keys_values_BxTxF: jax.Array, angles_xTxC2: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys and values by head, the first two normalized and rotated."""
        c = self.config
        batch, length, _ = queries_BxTx.shape
        q = queries_BxTx.reshape(batch, length, c.heads, c.head_dim)
        k, v = jnp.split(keys_values_BxTxF.reshape(batch, length, 2 * c.kv_heads, c.head_dim), 2, axis=2)
        return rotate(self.query_norm(q), angles_xTxC2), rotate(self.key_norm(k), angles_xTxC2), v
