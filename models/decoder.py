"""The decoder: pre-norm RMSNorm, rotary positions, QK-norm, and a feed-forward layer of choice.

Shape suffixes: B batch, T time, D width, H query heads, C features of a head, F feed-forward,
V vocabulary.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from models.config import ModelConfig
from models.ledger import Ledger


class RMSNorm(nnx.Module):
    """Zhang and Sennrich (2019): x / rms(x) * scale over the last axis, computed in float32."""

    def __init__(self, features: int, eps: float) -> None:
        self.scale = nnx.Param(jnp.ones(features))
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        inverse_rms = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + self.eps)
        return (wide * inverse_rms * self.scale[...]).astype(x.dtype)


class Linear(nnx.Module):
    """y = x W without bias; W is (in, out), normal with standard deviation `gain` / sqrt(in)."""

    def __init__(self, fan_in: int, fan_out: int, *, gain: float, dtype: Any, rngs: nnx.Rngs) -> None:
        noise = jax.random.normal(rngs.params(), (fan_in, fan_out))
        self.kernel = nnx.Param(noise * (gain * fan_in**-0.5))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        return x @ self.kernel[...].astype(self.dtype)


def rotary_angles(length: int, head_dim: int, base: float) -> jax.Array:
    """Angles (T, C/2) of Su et al. (2021), equation 15."""
    inverse_frequency = base ** (-jnp.arange(head_dim // 2) / (head_dim // 2))
    return jnp.arange(length)[:, None] * inverse_frequency[None, :]


def rotate(x_BxTxHxC: jax.Array, angles_TxC2: jax.Array) -> jax.Array:
    """Turns each pair of features (i, i + C/2) by its position's angle."""
    cos = jnp.cos(angles_TxC2)[:, None, :].astype(x_BxTxHxC.dtype)
    sin = jnp.sin(angles_TxC2)[:, None, :].astype(x_BxTxHxC.dtype)
    a, b = jnp.split(x_BxTxHxC, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


class Attention(nnx.Module):
    """Causal self-attention; queries and keys are normalized with learned scales (Henry et al. 2020)."""

    def __init__(self, config: ModelConfig, *, dtype: Any, rngs: nnx.Rngs) -> None:
        self.config = config
        self.qkv = Linear(config.width, config.qkv_width, gain=1.0, dtype=dtype, rngs=rngs)
        self.out = Linear(config.attention_width, config.width, gain=0.0, dtype=dtype, rngs=rngs)
        self.query_norm = RMSNorm(config.head_dim, config.norm_eps)
        self.key_norm = RMSNorm(config.head_dim, config.norm_eps)

    def __call__(self, x_BxTxD: jax.Array) -> jax.Array:
        c = self.config
        batch, length, _ = x_BxTxD.shape
        heads = self.qkv(x_BxTxD).reshape(batch, length, c.heads + 2 * c.kv_heads, c.head_dim)
        q, k, v = jnp.split(heads, [c.heads, c.heads + c.kv_heads], axis=2)
        angles = rotary_angles(length, c.head_dim, c.rope_base)
        q, k = rotate(self.query_norm(q), angles), rotate(self.key_norm(k), angles)
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.reshape(batch, length, c.attention_width))


class FeedForward(nnx.Module):
    """SwiGLU (Shazeer 2020), GELU, or squared ReLU (So et al. 2021)."""

    def __init__(self, config: ModelConfig, *, dtype: Any, rngs: nnx.Rngs) -> None:
        self.mlp = config.mlp
        inner = config.ff_width * (2 if config.gated else 1)
        self.up = Linear(config.width, inner, gain=1.0, dtype=dtype, rngs=rngs)
        self.down = Linear(config.ff_width, config.width, gain=0.0, dtype=dtype, rngs=rngs)

    def __call__(self, x_BxTxD: jax.Array) -> jax.Array:
        h_BxTxF = self.up(x_BxTxD)
        if self.mlp == "swiglu":
            gate, value = jnp.split(h_BxTxF, 2, axis=-1)
            h_BxTxF = jax.nn.silu(gate) * value
        elif self.mlp == "gelu":
            h_BxTxF = jax.nn.gelu(h_BxTxF)
        else:
            h_BxTxF = jnp.square(jax.nn.relu(h_BxTxF))
        return self.down(h_BxTxF)


class Block(nnx.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)); both start as the identity."""

    def __init__(self, config: ModelConfig, *, dtype: Any, rngs: nnx.Rngs) -> None:
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = Attention(config, dtype=dtype, rngs=rngs)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = FeedForward(config, dtype=dtype, rngs=rngs)

    def __call__(self, x_BxTxD: jax.Array) -> jax.Array:
        x_BxTxD = x_BxTxD + self.attention(self.attention_norm(x_BxTxD))
        return x_BxTxD + self.mlp(self.mlp_norm(x_BxTxD))


class Model(nnx.Module):
    """Token logits of a decoder-only transformer."""

    def __init__(self, config: ModelConfig, *, dtype: Any = jnp.float32, rngs: nnx.Rngs) -> None:
        self.config = config
        self.dtype = dtype
        shape = (config.vocab_size, config.width)
        # A tied matrix is read by the head as well, and there its rows must stay small.
        scale = config.width**-0.5 if config.tie_embeddings else 1.0
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), shape) * scale)
        self.blocks = nnx.List([Block(config, dtype=dtype, rngs=rngs) for _ in range(config.depth)])
        self.final_norm = RMSNorm(config.width, config.norm_eps)
        if not config.tie_embeddings:
            self.head = Linear(config.width, config.vocab_size, gain=0.0, dtype=dtype, rngs=rngs)

    def __call__(self, tokens_BxT: ArrayLike) -> jax.Array:
        """Float32 logits (B, T, V) for the token after each of `tokens_BxT`."""
        x_BxTxD = self.embedding[...][jnp.asarray(tokens_BxT)].astype(self.dtype)
        for block in self.blocks:
            x_BxTxD = block(x_BxTxD)
        x_BxTxD = self.final_norm(x_BxTxD)
        if self.config.tie_embeddings:
            logits = x_BxTxD @ self.embedding[...].astype(self.dtype).T
        else:
            logits = self.head(x_BxTxD)
        return logits.astype(jnp.float32)


def ledger(config: ModelConfig) -> Ledger:
    """Exact parameters and forward FLOPs per token at full context."""
    c = config
    up = c.width * c.ff_width * (2 if c.gated else 1)
    down = c.ff_width * c.width
    matrices = {"qkv": c.width * c.qkv_width, "out": c.attention_width * c.width, "mlp": up + down}
    parameters = {name: c.depth * n for name, n in matrices.items()}
    parameters |= {
        "norms": c.depth * (2 * c.width + 2 * c.head_dim),
        "final_norm": c.width,
        "head": c.width * c.vocab_size,
        "embedding": 0 if c.tie_embeddings else c.width * c.vocab_size,
    }
    forward = {name: 2 * parameters[name] for name in ("qkv", "out", "mlp", "head")}
    # Scores and their weighted sum of values: 2 * T * (H * C) each, a token.
    forward["attention"] = c.depth * 4 * c.context_length * c.attention_width
    return Ledger(parameters=parameters, forward=forward, tied=c.tie_embeddings)
