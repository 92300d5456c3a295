"""What the lab's machine and data can train, with the arithmetic of what they cannot."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.labs.contract.rules import Violation
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.pricing import BYTES, COPIES, ledger, too_large
from isoflop.labs.settings import Settings

MAX_LAYERS = 128
"""Each is compiled by itself, off the clock: a thousand would keep a worker for an hour that nobody pays."""
MAX_ROPE_THETA = 10**12
"""Wavelengths beyond are longer than any window, and float32 soon has no number for them."""
KEPT_FEATURES = {"float32": (15, 6), "bfloat16": (23, 6)}
"""Numbers that a layer keeps of each token for the backward pass, over hidden_size and intermediate_size;
beside them one a head and token of the window. `isoflop.models.memory` counts them."""
LOGITS_BYTES = 2 * (256 << 20)
"""The most that float32 logits and their gradient take: beyond it the trainer makes them in parts."""


def untrainable(config: TrainingConfig, settings: Settings) -> Iterator[Violation]:
    """Why a config cannot be trained here; what is too large is not looked at any further."""
    large = [*too_large(config, settings.machine, settings.windows.context_length)]
    yield from large or _too_deep(config) or _too_large_a_batch(config, settings)
    yield from _beyond_the_data(config, settings)
    if config.architecture_config.rope_theta > MAX_ROPE_THETA:
        yield Violation(("architecture_config", "rope_theta"), f"rope_theta must be at most {MAX_ROPE_THETA}")


def _too_deep(config: TrainingConfig) -> list[Violation]:
    layers = config.architecture_config.num_hidden_layers
    if layers <= MAX_LAYERS:
        return []
    message = f"num_hidden_layers must be at most {MAX_LAYERS} on this lab's machine: {layers}"
    return [Violation(("architecture_config", "num_hidden_layers"), message)]


def _too_large_a_batch(config: TrainingConfig, settings: Settings) -> list[Violation]:
    """The rule that a step's activations fit beside the parameters."""
    a, context, memory = config.architecture_config, settings.windows.context_length, settings.machine
    size, tokens = BYTES[a.dtype], config.train_batch_size * context
    state = ledger(a, context).params("total") * size * COPIES
    of_hidden, of_inner = KEPT_FEATURES[a.dtype]
    features = of_hidden * a.hidden_size + of_inner * a.intermediate_size + a.num_attention_heads * context
    kept = tokens * a.num_hidden_layers * features * size
    logits = min(2 * 4 * tokens * a.vocab_size, LOGITS_BYTES)
    needed = state + kept + logits
    if needed <= memory.memory_bytes:
        return []
    message = (
        f"train_batch_size is too large for the lab's machine: {tokens} tokens of a batch * "
        f"{a.num_hidden_layers} layers * {features} numbers kept of each ({of_hidden} * hidden_size + "
        f"{of_inner} * intermediate_size + num_attention_heads * {context}) * {size} bytes + {logits} bytes "
        f"of logits + {state} of parameters, gradient, moments = {needed} bytes of {memory.memory_bytes:.0f}"
    )
    return [Violation(("architecture_config", "train_batch_size"), message)]


def _beyond_the_data(config: TrainingConfig, settings: Settings) -> Iterator[Violation]:
    data, vocab_size = settings.data, config.architecture_config.vocab_size
    if vocab_size < settings.data_vocab_size:
        yield Violation(
            ("architecture_config", "vocab_size"),
            f"vocab_size must be at least that of the lab's data, {settings.data_vocab_size}: {vocab_size}",
        )
    if data is not None and config.total_train_tokens > data.n_train_tokens:
        yield Violation(
            ("total_train_tokens",),
            f"total_train_tokens must be at most the {data.n_train_tokens} tokens of the lab's data, none of "
            f"which is repeated: {config.total_train_tokens}",
        )
