"""The best legal config at the target budget under a student's law: the answer key.

A search over whole shapes: from the best width at the law's own aspect and ratio, heads, layers and
feed-forward width are changed in steps until none gives a lower loss. Every power of two is tried as batch,
with as many steps as the budget pays for; rate and schedule are the law's best, in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from isoflop.labs.backends.surrogate import expected_losses
from isoflop.labs.contract.training_config import (
    MAX_RUNTIME_SECONDS,
    MAX_TRAIN_TOKENS,
    AdamWConfig,
    ArchitectureConfig,
    LrScheduler,
    TrainingConfig,
)
from isoflop.labs.pricing import BYTES, COPIES, evaluation_seconds, ledger, step_seconds
from isoflop.labs.settings import Settings
from isoflop.labs.truth import BEST_FF_RATIO, Recipe, Truth

HEAD_DIM = 64
MAX_HEADS = 256
STEPS = (-8, -1, 0, 1, 8)
BATCHES = 2 ** np.arange(15)
"""Windows in a batch."""


@dataclass(frozen=True)
class Best:
    """A config and the loss to expect of it, in nats per token."""

    config: TrainingConfig
    loss: float


def best_config(truth: Truth, settings: Settings) -> Best | None:
    """The best config that the target pays for; None where it pays for none."""
    vocab_size = settings.data_vocab_size
    starts = [_start(heads, truth, vocab_size) for heads in range(1, MAX_HEADS + 1)]
    found = [best for start in starts if (best := _best_of_shape(truth, settings, start))]
    if not found:
        return None
    best = _climbed(min(found, key=_loss), truth, settings)
    return Best(best.config, float(expected_losses(truth, best.config, settings)[-1]))


def _climbed(best: Best, truth: Truth, settings: Settings) -> Best:
    """The best shape that is reached by single steps."""
    while True:
        near = [_best_of_shape(truth, settings, shape) for shape in _neighbours(best.config)]
        better = min((one for one in near if one is not None), key=_loss, default=best)
        if better.loss >= best.loss:
            return best
        best = better


def _neighbours(config: TrainingConfig) -> Iterator[ArchitectureConfig]:
    """Shapes a step away in heads, layers and feed-forward width, or in two of them."""
    a = config.architecture_config
    heads, layers, ff = a.num_attention_heads, a.num_hidden_layers, a.intermediate_size // HEAD_DIM
    for heads_more, layers_more, ff_more in product(STEPS, STEPS, STEPS):
        changed = _shape(heads + heads_more, layers + layers_more, ff + ff_more, a.vocab_size)
        if changed is not None and not heads_more * layers_more * ff_more:
            yield changed


def _start(heads: int, truth: Truth, vocab_size: int) -> ArchitectureConfig | None:
    return _shape(
        heads, max(1, round(heads * HEAD_DIM / truth.best_aspect)), round(heads * BEST_FF_RATIO), vocab_size
    )


def _shape(heads: int, layers: int, ff: int, vocab_size: int) -> ArchitectureConfig | None:
    """A shape, its feed-forward width in units of a head; None where it is none."""
    if min(heads, layers) < 1 or ff < heads:
        return None
    return ArchitectureConfig(
        attention_bias=False,
        head_dim=HEAD_DIM,
        hidden_size=heads * HEAD_DIM,
        intermediate_size=ff * HEAD_DIM,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        num_key_value_heads=heads,
        rms_norm_eps=1e-6,
        rope_theta=10_000,
        tie_word_embeddings=True,
        dtype="float32",
        vocab_size=vocab_size,
    )


def _loss(best: Best) -> float:
    return best.loss


def _best_of_shape(truth: Truth, settings: Settings, shape: ArchitectureConfig | None) -> Best | None:
    """The best config of a shape; None where there is no shape, memory for it, or budget for a step."""
    machine, windows, unit = settings.machine, settings.windows, settings.budget_unit
    if shape is None:
        return None
    costs = ledger(shape, windows.context_length)
    if costs.params("total") * BYTES[shape.dtype] * COPIES > machine.memory_bytes:
        return None
    batch_B = BATCHES * windows.context_length
    step_B = np.array([step_seconds(costs, int(batch), machine, unit) for batch in batch_B])
    left = settings.target_seconds - evaluation_seconds(costs, machine, windows, unit)
    steps_B = np.minimum(left / step_B, MAX_TRAIN_TOKENS / batch_B).astype(int)
    batches = np.flatnonzero(steps_B >= 1)
    if not len(batches):
        return None
    recipe = Recipe(
        n_params=float(costs.params("non_embedding")),
        tokens=(steps_B * batch_B)[batches].astype(float),
        batch_tokens=batch_B[batches].astype(float),
        rate=1.0,
        aspect=shape.hidden_size / shape.num_hidden_layers,
        ff_ratio=shape.intermediate_size / shape.hidden_size,
    )
    rate_B = truth.best_rate_at(recipe)
    terms = truth.terms(recipe)
    loss_B = terms["size, data and batch"] + terms["shape"]
    best = int(np.argmin(loss_B))
    batch = batches[best]
    tokens = int(steps_B[batch] * batch_B[batch])
    config = _config(shape, int(BATCHES[batch]), tokens, float(rate_B[best]), settings)
    return Best(config, float(loss_B[best]))


def _config(
    shape: ArchitectureConfig, batch: int, tokens: int, rate: float, settings: Settings
) -> TrainingConfig:
    schedule = LrScheduler(peak_value=rate, final_lr_frac=0.0)
    return TrainingConfig(
        architecture_config=shape,
        optimizer_config=AdamWConfig(lr_scheduler=schedule),
        train_batch_size=batch,
        val_batch_size=1,
        n_evals=1,
        total_train_tokens=tokens,
        max_runtime_seconds=min(float(MAX_RUNTIME_SECONDS), max(1.0, settings.target_seconds)),
    )
