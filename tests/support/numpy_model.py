"""The decoder once more, in plain NumPy and float64: one window, one head, one expert at a time.

Written from the papers that `isoflop.models` cites and not from its code. Experts have room for all tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from isoflop.models import ModelConfig

Array = NDArray[np.float64]
Parameters = Mapping[str, Array]
"""Arrays by their path, joined by dots."""


def named_parameters(state: Any) -> dict[str, Array]:
    """The parameters of an nnx state, in double precision."""
    flat = jax.tree_util.tree_leaves_with_path(state)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in flat]
    return {
        name.removesuffix(".value"): np.asarray(leaf, np.float64)
        for name, (_, leaf) in zip(names, flat, strict=True)
    }


def loss(config: ModelConfig, parameters: Parameters, windows_BxT1: NDArray[np.int64]) -> float:
    """Mean cross-entropy, nats per target."""
    total = 0.0
    for window in windows_BxT1:
        logits_TxV = logits(config, parameters, window[:-1])
        for row, target in zip(logits_TxV, window[1:], strict=True):
            total += np.log(np.sum(np.exp(row - row.max()))) + row.max() - row[target]
    return total / windows_BxT1[:, 1:].size


def logits(config: ModelConfig, parameters: Parameters, tokens_T: NDArray[np.int64]) -> Array:
    """Logits (T, V) of one window."""
    x = parameters["embedding"][tokens_T]
    for layer in range(config.depth):
        block = {
            name.removeprefix(f"blocks.{layer}."): value
            for name, value in parameters.items()
            if name.startswith(f"blocks.{layer}.")
        }
        normed = rms_norm(x, block["attention_norm.scale"], config)
        x = x + config.branch_scale * attention(config, block, normed, tokens_T)
        normed = rms_norm(x, block["mlp_norm.scale"], config)
        branch = mixture(config, block, normed) if config.experts > 1 else dense(config, block, normed)
        x = x + config.branch_scale * branch
    head = parameters["embedding"].T if config.tie_embeddings else parameters["head.kernel"]
    return rms_norm(x, parameters["final_norm.scale"], config) @ head


def rms_norm(x: Array, scale: Array, config: ModelConfig) -> Array:
    """Zhang and Sennrich (2019)."""
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + config.norm_eps) * scale


def attention(config: ModelConfig, block: Parameters, x: Array, tokens_T: NDArray[np.int64]) -> Array:
    """Causal softmax attention, a query head and a position at a time."""
    size, length = config.head_dim, len(x)
    document, number = [], 0
    for token in tokens_T:
        document.append(number)
        number += int(token == config.document_separator)
    mixed_in = x @ block["attention.qkv.kernel"]
    if config.attention_bias:
        mixed_in += block["attention.qkv.bias"]
    if config.kv_convolution > 1:
        taps = block["attention.convolution.taps"]
        mixed_in[:, config.heads * size :] += previous(mixed_in[:, config.heads * size :], taps, document)
    heads = np.split(mixed_in, config.heads + 2 * config.kv_heads, axis=1)
    queries, keys = heads[: config.heads], heads[config.heads : config.heads + config.kv_heads]
    values = heads[config.heads + config.kv_heads :]
    mixed = np.zeros((length, config.heads * size))
    for h in range(config.heads):
        own = h * config.kv_heads // config.heads
        q = rotate(rms_norm(queries[h], block["attention.query_norm.scale"], config), config)
        k = rotate(rms_norm(keys[own], block["attention.key_norm.scale"], config), config)
        for t in range(length):
            seen = [s for s in range(t + 1) if document[s] == document[t]]
            scores = np.array([q[t] @ k[s] for s in seen]) * config.max_attention_logit / size
            weights = np.exp(scores - scores.max())
            mixed[t, h * size : (h + 1) * size] = weights / weights.sum() @ values[own][seen]
    out = mixed @ block["attention.out.kernel"]
    return out + block["attention.out.bias"] if config.attention_bias else out


def previous(x_TxC: Array, taps_KxC: Array, document: list[int]) -> Array:
    """What the tokens before add to each feature, those of the same document alone: tap k is of the token
    k + 1 before."""
    out = np.zeros_like(x_TxC)
    for t in range(len(x_TxC)):
        for k, tap_C in enumerate(taps_KxC):
            if t > k and document[t - k - 1] == document[t]:
                out[t] += tap_C * x_TxC[t - k - 1]
    return out


def rotate(x_TxC: Array, config: ModelConfig) -> Array:
    """Su et al. (2021): features i and i + C/2 are a complex number, turned by its position."""
    half = config.head_dim // 2
    frequencies = config.rope_base ** (-np.arange(half) / half)
    turned = (x_TxC[:, :half] + 1j * x_TxC[:, half:]) * np.exp(
        1j * np.arange(len(x_TxC))[:, None] * frequencies
    )
    return np.concatenate([turned.real, turned.imag], axis=1)


def feed_forward(config: ModelConfig, up: Array, down: Array, x: Array) -> Array:
    """SwiGLU, GELU by its tanh formula, or squared ReLU."""
    h = x @ up
    if config.mlp == "swiglu":
        gate, value = h[:, : config.ff_width], h[:, config.ff_width :]
        h = gate / (1 + np.exp(-gate)) * value
    elif config.mlp == "gelu":
        h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    else:
        h = np.maximum(h, 0) ** 2
    return h @ down


def dense(config: ModelConfig, block: Parameters, x: Array) -> Array:
    """The feed-forward layer of a dense block."""
    return feed_forward(config, block["mlp.up.kernel"], block["mlp.down.kernel"], x)


def mixture(config: ModelConfig, block: Parameters, x: Array) -> Array:
    """Each token's likeliest experts, by their probabilities; those of several sum to 1."""
    scores = x @ block["mlp.router.kernel"]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    out = np.zeros_like(x)
    for t, p in enumerate(probabilities):
        chosen = np.argsort(-p)[: config.visited]
        total = p[chosen].sum() if len(chosen) > 1 else 1.0
        for e in chosen:
            up, down = block["mlp.experts.up.kernel"][e], block["mlp.experts.down.kernel"][e]
            out[t] += p[e] / total * feed_forward(config, up, down, x[t : t + 1])[0]
    return out
