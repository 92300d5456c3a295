"""What a student learns from a teacher: cross-entropy against its distribution, in nats per token.

Hinton et al. (2015), at temperature 1, over the whole vocabulary; with a share of 1 the pure distillation of
Busbridge et al. (2025). Shape suffixes as in `isoflop.models.decoder`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from isoflop.train.loss import logits_of, split_time, stretch_count


class TeacherOutputs(NamedTuple):
    """A teacher on a batch: its logits are features (B, T, D) @ unembedding (D, V)."""

    features: jax.Array
    unembedding: jax.Array


class DistilledLoss(NamedTuple):
    """Means over a batch, nats per token.

    `objective`: what is minimized. `loss`: cross-entropy of the targets. `distillation_loss`: against the
    teacher's distribution; its least value is that distribution's entropy.
    """

    objective: jax.Array
    loss: jax.Array
    distillation_loss: jax.Array


def distilled_loss(
    x_BxTxD: jax.Array,
    head_DxV: jax.Array,
    targets_BxT: jax.Array,
    teacher_outputs: TeacherOutputs,
    share: float,
) -> DistilledLoss:
    """The loss of a student (`x`, `head`), `share` of which is its teacher's."""

    def sums(part: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x_BxCxD, teacher_x_BxCxD, targets_BxC = part
        logits_BxCxV = logits_of(x_BxCxD, head_DxV)
        teacher_BxCxV = jax.nn.softmax(logits_of(teacher_x_BxCxD, teacher_outputs.unembedding), axis=-1)
        chosen_BxC = jnp.take_along_axis(logits_BxCxV, targets_BxC[..., None], axis=-1)[..., 0]
        normalizer_BxC = jax.nn.logsumexp(logits_BxCxV, axis=-1)
        expected_BxC = jnp.sum(teacher_BxCxV * logits_BxCxV, axis=-1)
        return (normalizer_BxC - chosen_BxC).sum(), (normalizer_BxC - expected_BxC).sum()

    parts = x_BxTxD, teacher_outputs.features, targets_BxT
    if (stretches := stretch_count(x_BxTxD, head_DxV)) == 1:
        hard, soft = sums(parts)
    else:
        # Recomputed in the backward pass, so that no more than one stretch's logits ever exist.
        hard, soft = jax.lax.map(jax.checkpoint(sums), tuple(split_time(x, stretches) for x in parts))
    loss, distillation_loss = hard.sum() / targets_BxT.size, soft.sum() / targets_BxT.size
    # At a share of 1 the targets have no part in the gradient, not even one of factor 0.
    own = (1 - share) * loss if share < 1 else 0.0
    return DistilledLoss(share * distillation_loss + own, loss, distillation_loss)
