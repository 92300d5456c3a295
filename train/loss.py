"""Cross-entropy of tokens under logits = features @ unembedding, in nats.

Where the float32 logits of a batch are small they are made whole. Beyond LOGITS_BYTES they are made in
stretches of time, and the backward pass is taken along with the forward one, stretch by stretch, so that no
more than one stretch's logits ever exist. Shape suffixes as in `isoflop.models.decoder`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

LOGITS_BYTES = 256 << 20
"""Of float32 logits at a time: a small share of a GPU, enough for one product to fill it."""


class TokenScores(NamedTuple):
    """What a model's distribution makes of each target, all (B, T), float32.

    `loss`: cross-entropy, nats. `correct`: 1 where the target's logit is above all others, else 0.
    """

    loss: jax.Array
    correct: jax.Array


def token_losses(x_BxTxD: jax.Array, head_DxV: jax.Array, targets_BxT: jax.Array) -> jax.Array:
    """Cross-entropy of each target (B, T), float32."""
    return token_scores(x_BxTxD, head_DxV, targets_BxT).loss


def token_scores(x_BxTxD: jax.Array, head_DxV: jax.Array, targets_BxT: jax.Array) -> TokenScores:
    """Loss and correctness of each target."""
    stretches = stretch_count(x_BxTxD, head_DxV)
    if stretches == 1:
        return _scores(x_BxTxD, head_DxV, targets_BxT)
    scores_SxBxC = jax.lax.map(
        lambda part: _scores(part[0], head_DxV, part[1]),
        (split_time(x_BxTxD, stretches), split_time(targets_BxT, stretches)),
    )
    return TokenScores(*(jnp.moveaxis(x, 0, 1).reshape(targets_BxT.shape) for x in scores_SxBxC))


def mean_loss(x_BxTxD: jax.Array, head_DxV: jax.Array, targets_BxT: jax.Array) -> jax.Array:
    """The mean of `token_losses`, to be differentiated."""
    if stretch_count(x_BxTxD, head_DxV) == 1:
        return _losses(x_BxTxD, head_DxV, targets_BxT).mean()
    return _stretched_mean(x_BxTxD, head_DxV, targets_BxT)


def _losses(x_BxTxD: jax.Array, head_DxV: jax.Array, targets_BxT: jax.Array) -> jax.Array:
    return _scores(x_BxTxD, head_DxV, targets_BxT).loss


def _scores(x_BxTxD: jax.Array, head_DxV: jax.Array, targets_BxT: jax.Array) -> TokenScores:
    logits_BxTxV = logits_of(x_BxTxD, head_DxV)
    chosen_BxT = jnp.take_along_axis(logits_BxTxV, targets_BxT[..., None], axis=-1)[..., 0]
    # Counted, and not by argmax, which no CPU vectorizes: at the demo's sizes it doubles the time of an
    # evaluation, and this adds a twentieth.
    rank_BxT = jnp.sum(logits_BxTxV >= chosen_BxT[..., None], axis=-1, dtype=jnp.float32)
    return TokenScores(
        loss=jax.nn.logsumexp(logits_BxTxV, axis=-1) - chosen_BxT,
        correct=(rank_BxT == 1).astype(jnp.float32),
    )


def logits_of(x_BxTxD: jax.Array, head_DxV: jax.Array) -> jax.Array:
    """Logits (B, T, V), float32 or wider."""
    # Accumulated and kept wide: bfloat16 would tie logits near 20 that differ by less than an eighth.
    wide = jnp.promote_types(x_BxTxD.dtype, jnp.float32)
    return jnp.matmul(x_BxTxD, head_DxV, preferred_element_type=wide)


@jax.custom_vjp
def _stretched_mean(x_BxTxD: jax.Array, head_DxV: jax.Array, targets_BxT: jax.Array) -> jax.Array:
    return token_losses(x_BxTxD, head_DxV, targets_BxT).mean()


def _forward(x_BxTxD: jax.Array, head_DxV: jax.Array, targets_BxT: jax.Array) -> Any:
    """The mean, and its gradients as they come: nothing is left to recompute when they are asked for."""
    stretches = stretch_count(x_BxTxD, head_DxV)

    def add(carry: tuple[jax.Array, jax.Array], part: tuple[jax.Array, jax.Array]) -> Any:
        total, gradient_DxV = carry
        x_BxCxD, targets_BxC = part
        # The sum, for means of stretches would each be divided again; the factor is the mean's.
        losses, pull = jax.vjp(lambda x, head: _losses(x, head, targets_BxC).sum(), x_BxCxD, head_DxV)
        gradient_BxCxD, part_DxV = pull(jnp.float32(1 / targets_BxT.size))
        return (total + losses, gradient_DxV + part_DxV), gradient_BxCxD

    # The head's gradient is added up in float32, whatever the head's dtype: stretches are many and small.
    start = (jnp.float32(0), jnp.zeros(head_DxV.shape, jnp.float32))
    parts = (split_time(x_BxTxD, stretches), split_time(targets_BxT, stretches))
    (total, gradient_DxV), gradient_SxBxCxD = jax.lax.scan(add, start, parts)
    gradient_BxTxD = jnp.moveaxis(gradient_SxBxCxD, 0, 1).reshape(x_BxTxD.shape)
    return total / targets_BxT.size, (gradient_BxTxD, gradient_DxV.astype(head_DxV.dtype))


def _backward(gradients: tuple[jax.Array, jax.Array], pull: jax.Array) -> Any:
    gradient_BxTxD, gradient_DxV = gradients
    return (
        (pull * gradient_BxTxD).astype(gradient_BxTxD.dtype),
        (pull * gradient_DxV).astype(gradient_DxV.dtype),
        None,
    )


_stretched_mean.defvjp(_forward, _backward)


def stretch_count(x_BxTxD: jax.Array, head_DxV: jax.Array) -> int:
    """The least power of two that divides the time into stretches of at most LOGITS_BYTES of logits."""
    batch, length, _ = x_BxTxD.shape
    count = 1
    while 4 * batch * length * head_DxV.shape[-1] > count * LOGITS_BYTES and length % (2 * count) == 0:
        count *= 2
    return count


def split_time(x_BxT: jax.Array, stretches: int) -> jax.Array:
    """(B, T, ...) to (S, B, T / S, ...): the batch stays whole, for it may be spread over devices."""
    batch, length, *rest = x_BxT.shape
    return jnp.moveaxis(x_BxT.reshape(batch, stretches, length // stretches, *rest), 1, 0)
