"""The decoder: pre-norm RMSNorm, rotary positions, QK-norm, keys and values convolved over a few tokens, and
a feed-forward layer of choice.

Shape suffixes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from isoflop.models.attention import Attention, documents
from isoflop.models.config import Dtype, ModelConfig, Remat
from isoflop.models.experts import Experts
from isoflop.models.kv_cache import empty_cache, place
from isoflop.models.layers import FeedForward, Linear, RMSNorm
from isoflop.models.ledger import Ledger
from isoflop.models.roles import Embedding, Readout, TiedEmbedding

Aux = dict[str, jax.Array]


class Block(nnx.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)); both start as the identity.

    A subclass may have another mixer of tokens in attention's place: `add_mixer`, `mix` and `mix_on`.
    """

    def __init__(self, config: ModelConfig, *, dtype: Dtype, rngs: nnx.Rngs) -> None:
        self.branch_scale = config.branch_scale
        self.add_mixer(config, dtype=dtype, rngs=rngs)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        layer = Experts if config.experts > 1 else FeedForward
        self.mlp = layer(config, dtype=dtype, rngs=rngs)

    def add_mixer(self, config: ModelConfig, *, dtype: Dtype, rngs: nnx.Rngs) -> None:
        """Attention and its norm."""
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = Attention(config, dtype=dtype, rngs=rngs)

    def mix(self, x_BxTxD: jax.Array, documents_BxT: jax.Array | None) -> jax.Array:
        """The mixer's branch (B, T, D)."""
        return self.attention(self.attention_norm(x_BxTxD), documents_BxT)

    def mix_on(self, x_BxTxD: jax.Array, cache: Any, new: Any) -> tuple[jax.Array, Any]:
        """The same for tokens that go on from a layer's cache, and the cache with theirs."""
        return self.attention.extend(self.attention_norm(x_BxTxD), cache, new)

    def __call__(self, x_BxTxD: jax.Array, documents_BxT: jax.Array | None = None) -> tuple[jax.Array, Aux]:
        x_BxTxD = x_BxTxD + self._scaled(self.mix(x_BxTxD, documents_BxT))
        normed_BxTxD = self.mlp_norm(x_BxTxD)
        branch, aux = (
            self.mlp(normed_BxTxD) if isinstance(self.mlp, Experts) else (self.mlp(normed_BxTxD), {})
        )
        return x_BxTxD + self._scaled(branch), aux

    def extend(self, x_BxTxD: jax.Array, cache: Any, new: Any) -> tuple[jax.Array, Any]:
        """The same for tokens that go on from a layer's cache, and the cache with theirs."""
        branch, cache = self.mix_on(x_BxTxD, cache, new)
        x_BxTxD = x_BxTxD + self._scaled(branch)
        normed_BxTxD = self.mlp_norm(x_BxTxD)
        if isinstance(self.mlp, Experts):
            assert cache.assigned_BxE is not None, "a layer of experts counts its assignments"
            branch, assigned_BxE = self.mlp.extend(normed_BxTxD, cache.assigned_BxE, new.count_B)
            cache = cache._replace(assigned_BxE=assigned_BxE)
        else:
            branch = self.mlp(normed_BxTxD)
        return x_BxTxD + self._scaled(branch), cache

    def _scaled(self, branch_BxTxD: jax.Array) -> jax.Array:
        return branch_BxTxD if self.branch_scale == 1.0 else branch_BxTxD * self.branch_scale


class Model(nnx.Module):
    """A decoder-only transformer; `isoflop.models.registry.build` has the contract."""

    block: ClassVar[type[Block]] = Block
    """What it is a stack of."""

    def __init__(
        self, config: ModelConfig, *, dtype: Dtype = "float32", remat: Remat = "none", rngs: nnx.Rngs
    ) -> None:
        self.config = config
        self.dtype: Dtype = dtype
        self.remat: Remat = remat
        shape = (config.vocab_size, config.width)
        role, scale = (TiedEmbedding, config.width**-0.5) if config.tie_embeddings else (Embedding, 1.0)
        self.embedding = role(jax.random.normal(rngs.params(), shape) * scale)
        self.blocks = nnx.List([self.block(config, dtype=dtype, rngs=rngs) for _ in range(config.depth)])
        self.final_norm = RMSNorm(config.width, config.norm_eps)
        if not config.tie_embeddings:
            self.head = Linear(
                config.width,
                config.vocab_size,
                gain=0.0,
                dtype=dtype,
                rngs=rngs,
                role=Readout,
                bits=config.weight_bits,
            )

    def features(self, tokens_BxT: ArrayLike) -> tuple[jax.Array, Aux]:
        """Final-normed features (B, T, D) in the compute dtype; float32 scalars, means over the layers."""
        tokens_BxT = jnp.asarray(tokens_BxT)
        separator = self.config.document_separator
        documents_BxT = None if separator is None else documents(tokens_BxT, separator)
        x_BxTxD = self.embedding[...][tokens_BxT].astype(self.dtype)
        run, layers = _runner(self.block, self.remat), []
        for block in self.blocks:
            x_BxTxD, aux = run(block, x_BxTxD, documents_BxT)
            layers.append(aux)
        return self.final_norm(x_BxTxD), jax.tree.map(lambda *scalars: sum(scalars) / len(scalars), *layers)

    def empty_cache(self, batch: int, slots: int) -> Any:
        """The cache of `batch` sequences of at most `slots` tokens, before their first."""
        return empty_cache(self.config, batch=batch, slots=slots, dtype=self.dtype)

    def place(self, cache: Any, tokens_BxT: jax.Array, count_B: jax.Array) -> tuple[Any, Any]:
        """What all layers need to know of new tokens, and the cache with their number."""
        return place(self.config, cache, tokens_BxT, count_B)

    def extend(self, tokens_BxT: jax.Array, count_B: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        """Final-normed features (B, T, D) of tokens that go on from a cache, and the cache with theirs.

        Of each sequence's T tokens the first `count_B` are its own, and the features of the others mean
        nothing. They equal those of `features` over the whole sequence but for rounding; with experts, over
        a window of the model's context length, which has room for as many tokens as decoding has.
        """
        new, cache = self.place(cache, tokens_BxT, count_B)
        x_BxTxD, layers = self.embedding[...][tokens_BxT].astype(self.dtype), []
        for block, layer in zip(self.blocks, cache.layers, strict=True):
            x_BxTxD, layer = block.extend(x_BxTxD, layer, new)
            layers.append(layer)
        return self.final_norm(x_BxTxD), cache._replace(layers=tuple(layers))

    def unembedding(self) -> jax.Array:
        """The matrix (D, V), in the compute dtype, that turns features into logits."""
        matrix = self.embedding[...].T if self.config.tie_embeddings else self.head.matrix()
        return matrix.astype(self.dtype)

    def __call__(self, tokens_BxT: ArrayLike) -> jax.Array:
        """Float32 logits (B, T, V) for the token after each of `tokens_BxT`."""
        features_BxTxD, _ = self.features(tokens_BxT)
        return jnp.matmul(features_BxTxD, self.unembedding(), preferred_element_type=jnp.float32)


def _runner(block: type[Block], remat: Remat) -> Callable[..., Any]:
    if remat == "none":
        return block.__call__
    saved = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if remat == "dots" else None
    return nnx.remat(block.__call__, policy=saved)


def ledger(config: ModelConfig) -> Ledger:
    """Exact parameters and forward FLOPs per token at full context.

    With experts, FLOPs are those of the router and of the experts a token visits; what empty slots add and
    dropped assignments save is not counted.
    """
    c = config
    expert = (3 if c.gated else 2) * c.width * c.ff_width
    visited = {
        "qkv": c.width * c.qkv_width,
        "convolution": (c.kv_convolution - 1) * c.kv_width,
        "out": c.attention_width * c.width,
        "mlp": c.visited * expert,
        "router": c.width * c.routed if c.experts > 1 else 0,
    }
    idle = {"mlp": c.depth * (c.routed - c.visited) * expert}
    parameters = {name: c.depth * n + idle.get(name, 0) for name, n in visited.items()}
    parameters |= {
        "norms": c.depth * (2 * c.width + 2 * c.head_dim),
        "biases": c.depth * (c.qkv_width + c.width) * c.attention_bias,
        "final_norm": c.width,
        "head": c.width * c.vocab_size,
        "embedding": 0 if c.tie_embeddings else c.width * c.vocab_size,
    }
    forward = {name: 2 * c.depth * n for name, n in visited.items()}
    forward["head"] = 2 * parameters["head"]
    # Scores and their weighted sum of values: 2 * T * (H * C) each, a token.
    forward["attention"] = c.depth * 4 * c.context_length * c.attention_width
    return Ledger(parameters=parameters, forward=forward, idle=idle, tied=c.tie_embeddings)
