"""A gated linear recurrence: the decoder's blocks with a state in the place of attention.

    h_t = a_t h_{t-1} + sqrt(1 - a_t^2) u_t        a_t in (0, 1), of each feature and token

It is the RG-LRU of Griffin (De et al. 2024, section 2.4) with one gate for what is kept and what is taken in,
as HGRN (Qin et al. 2023) and minGRU (Feng et al. 2024) have, so that a block's matrices are as large as those
of attention. The state is as wide as the model, and a token costs the same wherever it stands.

Shape suffixes: B batch, T time, D width, R features of the state (R = D), L tokens before that the
convolution reads, F features that it reads.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from isoflop.base.fields import InvalidFieldError
from isoflop.models import decoder
from isoflop.models.attention import documents
from isoflop.models.config import Dtype, ModelConfig, ModelOptions
from isoflop.models.layers import CausalConvolution, Linear, RMSNorm
from isoflop.models.ledger import Ledger
from isoflop.models.linear_recurrence import linear_recurrence
from isoflop.models.roles import Bias

LONGEST = 128.0
"""Tokens that the slowest feature keeps its state for, at the start; the fastest keeps it for one or two."""
OF_ATTENTION = ("max_attention_logit", "rope_base")
"""Options that a recurrence has no use for."""


class LayerState(NamedTuple):
    """What a layer keeps of the tokens so far.

    `state_BxR` in float32; `recent_BxLxF`, the last tokens before their convolution, zero before the first;
    `assigned_BxE`: assignments to each expert so far, None in a dense layer.
    """

    state_BxR: jax.Array
    recent_BxLxF: jax.Array
    assigned_BxE: jax.Array | None


class State(NamedTuple):
    """All layers', and the documents (B, max(L, 1)) of the last tokens, in a model that keeps them apart.

    A sequence's documents are numbered from the present one, which is 0, and those before are negative.
    """

    documents_BxL: jax.Array | None
    layers: tuple[LayerState, ...]


class NewTokens(NamedTuple):
    """`count_B`: how many of a sequence's T tokens are its own; `documents_BxLT`: of the last tokens before
    and the new ones."""

    count_B: jax.Array
    documents_BxLT: jax.Array | None


class GatedRecurrence(nnx.Module):
    """Features and decays, convolved over a few tokens; their recurrence, times a gate, mapped out."""

    def __init__(self, config: ModelConfig, *, dtype: Dtype, rngs: nnx.Rngs) -> None:
        width, bits = config.width, config.weight_bits
        self.dtype = dtype
        self.read = Linear(width, 3 * width, gain=1.0, dtype=dtype, rngs=rngs, bits=bits)
        self.convolution = CausalConvolution(config.kv_convolution, 2 * width)
        self.decay_bias = Bias(jnp.zeros(width))
        self.out = Linear(width, width, gain=0.0, dtype=dtype, rngs=rngs, bits=bits)

    def __call__(self, x_BxTxD: jax.Array, documents_BxT: jax.Array | None = None) -> jax.Array:
        gate_BxTxR, taken_BxTxF = self._read(x_BxTxD)
        first_BxT = None
        if documents_BxT is not None:
            first_BxT = documents_BxT != jnp.pad(documents_BxT, ((0, 0), (1, 0)))[:, :-1]
        a_BxTxR, b_BxTxR = self._steps(self.convolution(taken_BxTxF, documents_BxT), first_BxT)
        return self._written(gate_BxTxR, linear_recurrence(a_BxTxR, b_BxTxR))

    def extend(self, x_BxTxD: jax.Array, cache: LayerState, new: NewTokens) -> tuple[jax.Array, LayerState]:
        """The same for tokens that go on from a state, and the state after them."""
        gate_BxTxR, taken_BxTxF = self._read(x_BxTxD)
        before, length = cache.recent_BxLxF.shape[1], x_BxTxD.shape[1]
        read_BxLTxF = jnp.concatenate([cache.recent_BxLxF, taken_BxTxF], axis=1)
        first_BxT, read_BxLT = None, None
        if new.documents_BxLT is not None:
            first_BxT = (new.documents_BxLT[:, 1:] != new.documents_BxLT[:, :-1])[:, -length:]
            read_BxLT = new.documents_BxLT[:, -(before + length) :]
        a_BxTxR, b_BxTxR = self._steps(self.convolution(read_BxLTxF, read_BxLT)[:, before:], first_BxT)
        own_BxTx1 = (jnp.arange(length) < new.count_B[:, None])[..., None]
        a_BxTxR = jnp.where(own_BxTx1, a_BxTxR, 1.0)  # padding keeps the state as it is
        b_BxTxR = jnp.where(own_BxTx1, b_BxTxR, 0.0).at[:, 0].add(a_BxTxR[:, 0] * cache.state_BxR)
        h_BxTxR = linear_recurrence(a_BxTxR, b_BxTxR)
        last_BxL = new.count_B[:, None] + jnp.arange(before)
        recent_BxLxF = jnp.take_along_axis(read_BxLTxF, last_BxL[..., None], axis=1)
        cache = cache._replace(state_BxR=h_BxTxR[:, -1], recent_BxLxF=recent_BxLxF)
        return self._written(gate_BxTxR, h_BxTxR), cache

    def _read(self, x_BxTxD: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The output's gate (B, T, R), and what is convolved (B, T, F): features and their decays."""
        read_BxTx = self.read(x_BxTxD)
        return read_BxTx[..., : x_BxTxD.shape[-1]], read_BxTx[..., x_BxTxD.shape[-1] :]

    def _steps(self, taken_BxTxF: jax.Array, first_BxT: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """The recurrence's a and b (B, T, R), in float32; a is zero at the first token of a document."""
        u_BxTxR, z_BxTxR = jnp.split(taken_BxTxF.astype(jnp.float32), 2, axis=-1)
        start_R = jnp.linspace(0.0, jnp.log(LONGEST), u_BxTxR.shape[-1])
        z_BxTxR = z_BxTxR + start_R + self.decay_bias[...]
        a_BxTxR = jax.nn.sigmoid(z_BxTxR)
        # sqrt(1 - a^2) is sqrt(1 - a) sqrt(1 + a). The first is made of the logit: its gradient stays finite.
        b_BxTxR = jnp.exp(-0.5 * jax.nn.softplus(z_BxTxR)) * jnp.sqrt(1.0 + a_BxTxR) * u_BxTxR
        if first_BxT is not None:
            a_BxTxR = jnp.where(first_BxT[..., None], 0.0, a_BxTxR)
        return a_BxTxR, b_BxTxR

    def _written(self, gate_BxTxR: jax.Array, h_BxTxR: jax.Array) -> jax.Array:
        return self.out(jax.nn.silu(gate_BxTxR) * h_BxTxR.astype(self.dtype))


class Block(decoder.Block):
    """x + recurrence(norm(x)), then x + feed_forward(norm(x)); both start as the identity."""

    def add_mixer(self, config: ModelConfig, *, dtype: Dtype, rngs: nnx.Rngs) -> None:
        """The recurrence and its norm."""
        self.recurrence_norm = RMSNorm(config.width, config.norm_eps)
        self.recurrence = GatedRecurrence(config, dtype=dtype, rngs=rngs)

    def mix(self, x_BxTxD: jax.Array, documents_BxT: jax.Array | None) -> jax.Array:
        """The recurrence's branch (B, T, D)."""
        return self.recurrence(self.recurrence_norm(x_BxTxD), documents_BxT)

    def mix_on(self, x_BxTxD: jax.Array, cache: LayerState, new: NewTokens) -> tuple[jax.Array, LayerState]:
        """The same for tokens that go on from a layer's state, and the state after them."""
        return self.recurrence.extend(self.recurrence_norm(x_BxTxD), cache, new)


class Model(decoder.Model):
    """A stack of recurrent blocks between the decoder's embedding and its head."""

    block: ClassVar[type[decoder.Block]] = Block

    def __init__(self, config: ModelConfig, **options: Any) -> None:
        _refuse_options_of_attention(config)
        super().__init__(config, **options)

    def empty_cache(self, batch: int, slots: int) -> State:
        """The state of `batch` sequences before their first token; it takes no room for further tokens."""
        c, before = self.config, self.config.kv_convolution - 1
        layer = LayerState(
            state_BxR=jnp.zeros((batch, c.width)),
            recent_BxLxF=jnp.zeros((batch, before, 2 * c.width), self.dtype),
            assigned_BxE=jnp.zeros((batch, c.routed), jnp.int32) if c.experts > 1 else None,
        )
        # Before the first token the state and what the convolution reads are zero: any document does.
        separated = c.document_separator is not None
        return State(
            documents_BxL=jnp.zeros((batch, max(before, 1)), jnp.int32) if separated else None,
            layers=(layer,) * c.depth,
        )

    def place(self, cache: State, tokens_BxT: jax.Array, count_B: jax.Array) -> tuple[NewTokens, State]:
        """The documents of new tokens and of the last ones before, and the state with those of the last."""
        if cache.documents_BxL is None or self.config.document_separator is None:
            return NewTokens(count_B, None), cache
        kept = cache.documents_BxL.shape[1]
        documents_BxT = documents(tokens_BxT, self.config.document_separator)
        documents_BxLT = jnp.concatenate([cache.documents_BxL, documents_BxT], axis=1)
        last_BxL = count_B[:, None] + jnp.arange(kept)
        last_token_Bx1 = jnp.take_along_axis(tokens_BxT, count_B[:, None] - 1, axis=1)
        kept_BxL = jnp.take_along_axis(documents_BxLT, last_BxL, axis=1)
        present_Bx1 = kept_BxL[:, -1:] + (last_token_Bx1 == self.config.document_separator)
        return NewTokens(count_B, documents_BxLT), cache._replace(documents_BxL=kept_BxL - present_Bx1)


def ledger(config: ModelConfig) -> Ledger:
    """Exact parameters and forward FLOPs per token, the same at every context.

    The recurrence counts as one multiply-add a feature, what its gates cost as nothing, as attention's
    softmax does. With experts, FLOPs are those of the router and of the experts a token visits.
    """
    _refuse_options_of_attention(config)
    c = config
    of_decoder = decoder.ledger(c)
    replaced = {
        "read": 3 * c.width * c.width,
        "convolution": (c.kv_convolution - 1) * 2 * c.width,
        "out": c.width * c.width,
    }
    kept = ("mlp", "router", "final_norm", "head", "embedding")
    parameters = {name: n for name, n in of_decoder.parameters.items() if name in kept}
    parameters |= {name: c.depth * n for name, n in replaced.items()}
    parameters |= {"decay_bias": c.depth * c.width, "norms": c.depth * 2 * c.width}
    forward = {name: n for name, n in of_decoder.forward.items() if name in kept}
    forward |= {name: 2 * c.depth * n for name, n in replaced.items()}
    forward |= {"recurrence": 2 * c.depth * c.width, "attention": 0}
    return Ledger(parameters=parameters, forward=forward, idle=of_decoder.idle, tied=of_decoder.tied)


def _refuse_options_of_attention(config: ModelConfig) -> None:
    for name in OF_ATTENTION:
        if getattr(config, name) != getattr(ModelOptions, name):
            raise InvalidFieldError(
                f"model.{name}", f"{getattr(config, name)}: gated_recurrence has no attention: leave it out"
            )
    if config.attention_bias:
        raise InvalidFieldError("model.attention_bias", "gated_recurrence has no attention: leave it out")
