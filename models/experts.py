"""Mixture of experts: a router, and feed-forward layers of which each token visits a few.

Shape suffixes: B windows, T time, D width, E experts, K experts a token visits, S slots of an expert.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx

from isoflop.models.config import Dtype, ModelConfig
from isoflop.models.layers import FeedForward, Linear
from isoflop.models.roles import Router

ROUTER_GAIN = 0.1
"""Small, so that a token starts out torn between all experts (Fedus et al. 2022, section 2.4)."""


def capacity(config: ModelConfig, length: int) -> int:
    """Slots of each expert in a window of `length` tokens: K T capacity_factor / E, rounded up, at most T."""
    even = config.visited * length * config.capacity_factor / config.routed
    return min(length, math.ceil(round(even, 6)))  # rounded: 10 * 1.1 is a little more than 11


def choose(probabilities_xE: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` likeliest experts of each token and their weights, both (..., K).

    A single expert's weight is its probability: normalized it would be 1, and the router would learn nothing
    from the loss (Fedus et al. 2022, equation 2). Several weights are normalized to sum to 1, so that the
    layer's output doesn't shrink as experts are added (Lepikhin et al. 2021, algorithm 1); that equals the
    softmax over the chosen logits alone of Shazeer et al. (2017), equations 3 to 5, without their noise.
    """
    weights_xK, experts_xK = jax.lax.top_k(probabilities_xE, count)
    if count > 1:
        weights_xK = weights_xK / jnp.sum(weights_xK, axis=-1, keepdims=True)
    return weights_xK, experts_xK


def slots(
    experts_TxK: jax.Array,
    experts: int,
    capacity: int,
    left_E: jax.Array | None = None,
) -> jax.Array:
    """The row (T, K) of each assignment among all E S slots of one window; E S or more where none is left.

    First come, first served, in the order of tokens and all of one token's before the next one's: a later
    token never displaces an earlier one, which would let the past see the future. `left_E`: how many of its
    slots each expert may still fill, where that is not all `capacity`.
    """
    chosen_A = experts_TxK.reshape(-1)
    # An assignment's place among its expert's is its rank in a stable sort by expert, less that of the first.
    # A one-hot cumulative sum gives the same and takes memory for every expert.
    order_A = jnp.argsort(chosen_A, stable=True)
    first_E = jnp.searchsorted(chosen_A[order_A], jnp.arange(experts), method="compare_all")
    place_A = jnp.argsort(order_A) - first_E[chosen_A]
    # Rows beyond the end differ from each other: scatters and gathers are promised unique ones.
    beyond_A = experts * capacity + jnp.arange(chosen_A.size)
    free_A = capacity if left_E is None else jnp.minimum(left_E[chosen_A], capacity)
    row_A = jnp.where(place_A < free_A, chosen_A * capacity + place_A, beyond_A)
    return row_A.reshape(experts_TxK.shape)


def dispatch(x_TxD: jax.Array, row_TxK: jax.Array, rows: int) -> jax.Array:
    """Each token copied to its `rows` of slots (E S, D); empty slots are zero."""
    copies_TxKxD = jnp.broadcast_to(x_TxD[:, None], (*row_TxK.shape, x_TxD.shape[-1]))
    empty = jnp.zeros((rows, x_TxD.shape[-1]), x_TxD.dtype)
    return empty.at[row_TxK].set(copies_TxKxD, mode="drop", unique_indices=True)


def combine(slots_xD: jax.Array, row_TxK: jax.Array, weights_TxK: jax.Array) -> jax.Array:
    """Sum (T, D) of what a token's experts made of it, by weight; a dropped assignment adds zero."""
    # Gathered and not multiplied by a one-hot (T, E S) matrix, which would cost more than the experts do.
    made_TxKxD = slots_xD.at[row_TxK].get(mode="fill", fill_value=0, unique_indices=True)
    return jnp.sum(made_TxKxD * weights_TxK[..., None].astype(slots_xD.dtype), axis=1)


def balance_loss(probabilities_BxTxE: jax.Array, experts_BxTxK: jax.Array) -> jax.Array:
    """E times the sum over experts of share of assignments times mean probability; 1 where balanced.

    Fedus et al. (2022), equations 4 to 6 without their factor alpha, over all tokens of the call, before any
    is dropped.
    """
    experts = probabilities_BxTxE.shape[-1]
    share_E = jnp.mean(jax.nn.one_hot(experts_BxTxK, experts), axis=(0, 1, 2))
    return experts * jnp.sum(share_E * jnp.mean(probabilities_BxTxE, axis=(0, 1)))


class Experts(nnx.Module):
    """Each token's `config.visited` likeliest feed-forward layers, summed by weight.

    Each window has slots of its own: what it gives doesn't depend on the batch it is in. An assignment that
    finds no slot is dropped, and the residual carries the token on. Beside the output it returns float32
    scalars: `balance_loss`; `router_z`, the mean squared logsumexp of the router's logits (Zoph et al. 2022,
    equation 5); `dropped`, the share of assignments.
    """

    def __init__(self, config: ModelConfig, *, dtype: Dtype, rngs: nnx.Rngs) -> None:
        self.config = config
        self.router = Linear(
            config.width, config.routed, gain=ROUTER_GAIN, dtype="float32", rngs=rngs, role=Router
        )
        self.experts = FeedForward(config, dtype=dtype, rngs=rngs, stack=(config.routed,))

    def __call__(self, x_BxTxD: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        c = self.config
        logits_BxTxE, probabilities_BxTxE = self._probabilities(x_BxTxD)
        weights_BxTxK, experts_BxTxK = choose(probabilities_BxTxE, c.visited)
        each = capacity(c, x_BxTxD.shape[1])
        row_BxTxK = jax.vmap(lambda chosen: slots(chosen, c.routed, each))(experts_BxTxK)
        auxiliary = {
            "balance_loss": balance_loss(probabilities_BxTxE, experts_BxTxK),
            "router_z": jnp.mean(jax.nn.logsumexp(logits_BxTxE, axis=-1) ** 2),
            "dropped": jnp.mean(row_BxTxK >= c.routed * each, dtype=jnp.float32),
        }
        return self._apply(x_BxTxD, row_BxTxK, weights_BxTxK, each), auxiliary

    def extend(
        self, x_BxTxD: jax.Array, assigned_BxE: jax.Array, count_B: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The same for tokens that go on from `assigned_BxE` assignments, and the assignments with theirs.

        An expert has the slots of a window of the model's context length, as in training, and a token is
        dropped where those before it have filled them: what a token gives doesn't depend on how many are
        decoded at a time, nor on how many will follow. Of a sequence's tokens the first `count_B` are its
        own.
        """
        c = self.config
        _, probabilities_BxTxE = self._probabilities(x_BxTxD)
        weights_BxTxK, experts_BxTxK = choose(probabilities_BxTxE, c.visited)
        in_all, new = capacity(c, c.context_length), x_BxTxD.shape[1]
        each = min(in_all, new)
        row_BxTxK = jax.vmap(lambda chosen, left: slots(chosen, c.routed, each, left))(
            experts_BxTxK, jnp.maximum(in_all - assigned_BxE, 0)
        )
        own_BxT = jnp.arange(new) < count_B[:, None]
        chosen_BxTxKxE = jax.nn.one_hot(experts_BxTxK, c.routed, dtype=jnp.int32)
        assigned_BxE = assigned_BxE + jnp.sum(chosen_BxTxKxE * own_BxT[..., None, None], axis=(1, 2))
        return self._apply(x_BxTxD, row_BxTxK, weights_BxTxK, each), assigned_BxE

    def _probabilities(self, x_BxTxD: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The router's logits and their softmax, (B, T, E) each, float32."""
        # Rounded logits change who is chosen: full float32, where a GPU would take TF32 and a TPU bfloat16.
        with jax.default_matmul_precision("highest"):
            logits_BxTxE = self.router(x_BxTxD.astype(jnp.float32))
        return logits_BxTxE, jax.nn.softmax(logits_BxTxE)

    def _apply(
        self, x_BxTxD: jax.Array, row_BxTxK: jax.Array, weights_BxTxK: jax.Array, each: int
    ) -> jax.Array:
        """What experts of `each` slots a window make of the tokens in their rows, summed by weight."""
        batch, _, width = x_BxTxD.shape
        rows = self.config.routed * each
        filled = jax.vmap(lambda x, row: dispatch(x, row, rows))(x_BxTxD, row_BxTxK)
        made = self.experts(filled.reshape(batch, self.config.routed, each, width))
        return jax.vmap(combine)(made.reshape(batch, rows, width), row_BxTxK, weights_BxTxK)
