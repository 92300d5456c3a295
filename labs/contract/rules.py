"""Rules over several fields of a training config, each with the fields that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from isoflop.labs.contract.training_config import TrainingConfig

MAX_EVALUATIONS = 65_536
"""The contract sets no limit, and losses are answered as one list."""


@dataclass(frozen=True)
class Windows:
    """The lab's windows, in tokens: the context length, and all that are held out."""

    context_length: int = 512
    n_val_tokens: int = 2**18


@dataclass(frozen=True)
class Violation:
    """A rule that a config breaks. `fields`: their path within the config, the fields' own names last."""

    fields: tuple[str, ...]
    message: str


def violations(config: TrainingConfig, windows: Windows) -> Iterator[Violation]:
    """The rules that the config breaks, with the numbers that show it."""
    yield from _shape(config)
    yield from _steps(config, windows)


def _shape(config: TrainingConfig) -> Iterator[Violation]:
    a = config.architecture_config
    if a.hidden_size != a.num_attention_heads * a.head_dim:
        yield Violation(
            ("architecture_config", "hidden_size", "num_attention_heads", "head_dim"),
            f"hidden_size must equal num_attention_heads * head_dim: {a.hidden_size} is not "
            f"{a.num_attention_heads} * {a.head_dim} = {a.num_attention_heads * a.head_dim}",
        )
    if a.num_key_value_heads != a.num_attention_heads:
        yield Violation(
            ("architecture_config", "num_key_value_heads", "num_attention_heads"),
            f"num_key_value_heads must equal num_attention_heads: {a.num_key_value_heads} is not "
            f"{a.num_attention_heads}",
        )
    if a.intermediate_size < a.hidden_size:
        yield Violation(
            ("architecture_config", "intermediate_size", "hidden_size"),
            f"intermediate_size must be at least hidden_size: {a.intermediate_size} is below {a.hidden_size}",
        )


def _steps(config: TrainingConfig, windows: Windows) -> Iterator[Violation]:
    step_tokens = windows.context_length * config.train_batch_size
    steps, rest = divmod(config.total_train_tokens, step_tokens)
    if rest:
        yield Violation(
            ("total_train_tokens", "train_batch_size"),
            f"total_train_tokens must be a multiple of {windows.context_length} * train_batch_size = "
            f"{step_tokens}: {config.total_train_tokens} leaves {rest}",
        )
    elif steps % config.n_evals:
        yield Violation(
            ("n_evals", "total_train_tokens", "train_batch_size"),
            f"the number of optimizer steps must be a multiple of n_evals: {steps} steps, {config.n_evals} "
            "evaluations",
        )
    elif config.n_evals > MAX_EVALUATIONS:
        yield Violation(("n_evals",), f"n_evals must be at most {MAX_EVALUATIONS}: {config.n_evals}")
    val_tokens = windows.context_length * config.val_batch_size
    if windows.n_val_tokens % val_tokens:
        yield Violation(
            ("val_batch_size",),
            f"the {windows.n_val_tokens} held-out tokens must be a multiple of {windows.context_length} * "
            f"val_batch_size = {val_tokens}",
        )
