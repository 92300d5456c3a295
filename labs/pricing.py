"""What a training config costs: parameters and FLOPs by the ledger, seconds on a reference machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from isoflop.base.fields import NotNegative, Positive, check_fields
from isoflop.labs.contract.rules import Violation, Windows
from isoflop.labs.contract.training_config import ArchitectureConfig, TrainingConfig
from isoflop.models.ledger import Ledger

BYTES = {"float32": 4, "bfloat16": 2}
COPIES = 4
"""Of every parameter while it is trained: itself, its gradient and AdamW's two moments."""


@dataclass(frozen=True)
class Machine:
    """The machine whose seconds a lab charges. The defaults are round numbers near one NVIDIA B200, and are
    part of the lab's rules, not a measurement."""

    flops_per_second: Positive = 5e14
    step_seconds: NotNegative = 0.002
    """Of an optimizer step beyond its FLOPs, which tiny models feel."""
    evaluation_seconds: NotNegative = 0.05
    """Of an evaluation beyond its FLOPs."""
    memory_bytes: Positive = 180e9

    def __post_init__(self) -> None:
        check_fields(self, "machine.")


@dataclass(frozen=True)
class Price:
    """What a config costs. `seconds`: what it is charged if it runs to its end; `step_seconds` and
    `evaluation_seconds` are of one step and of one evaluation, and add up to it."""

    n_params_total: int
    n_params_non_embedding: int
    flops: float
    seconds: float
    n_steps: int
    step_seconds: float
    evaluation_seconds: float


def ledger(a: ArchitectureConfig, context_length: int) -> Ledger:
    """Parameters, and forward FLOPs per token, of the contract's transformer; biases are added for free."""
    h, i, layers = a.hidden_size, a.intermediate_size, a.num_hidden_layers
    matrices = {"qkv": 3 * h * h, "out": h * h, "mlp": 3 * h * i}
    head = h * a.vocab_size
    parameters = {
        "embedding": 0 if a.tie_word_embeddings else head,
        **{name: layers * size for name, size in matrices.items()},
        "biases": layers * 4 * h * a.attention_bias,
        "norms": layers * (2 * h + 2 * a.head_dim),
        "final_norm": h,
        "head": head,
    }
    forward = {
        **{name: 2 * layers * size for name, size in matrices.items()},
        "attention": 4 * layers * h * context_length,
        "head": 2 * head,
    }
    return Ledger(parameters, forward, tied=a.tie_word_embeddings)


def price(config: TrainingConfig, machine: Machine, windows: Windows, unit: str) -> Price:
    """The price in a unit: `seconds` of the machine, or `flops`, where training FLOPs alone are charged."""
    costs = ledger(config.architecture_config, windows.context_length)
    batch_tokens = windows.context_length * config.train_batch_size
    n_steps = config.total_train_tokens // batch_tokens
    step = step_seconds(costs, batch_tokens, machine, unit)
    evaluation = evaluation_seconds(costs, machine, windows, unit)
    return Price(
        n_params_total=costs.params("total"),
        n_params_non_embedding=costs.params("non_embedding"),
        flops=float(costs.train_flops * config.total_train_tokens),
        seconds=n_steps * step + config.n_evals * evaluation,
        n_steps=n_steps,
        step_seconds=step,
        evaluation_seconds=evaluation,
    )


def step_seconds(costs: Ledger, batch_tokens: int, machine: Machine, unit: str) -> float:
    """What an optimizer step is charged."""
    overhead = machine.step_seconds if unit == "seconds" else 0.0
    return overhead + costs.train_flops * batch_tokens / machine.flops_per_second


def evaluation_seconds(costs: Ledger, machine: Machine, windows: Windows, unit: str) -> float:
    """What an evaluation is charged; in FLOPs, nothing."""
    if unit == "flops":
        return 0.0
    return machine.evaluation_seconds + costs.forward_flops * windows.n_val_tokens / machine.flops_per_second


def too_large(config: TrainingConfig, machine: Machine, context_length: int) -> Iterator[Violation]:
    """The rule that a model fits the machine's memory, with the arithmetic."""
    a = config.architecture_config
    n_params = ledger(a, context_length).params("total")
    needed = n_params * BYTES[a.dtype] * COPIES
    if needed > machine.memory_bytes:
        shape = ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
        yield Violation(
            ("architecture_config", *shape),
            f"too large for the lab's machine: {n_params} parameters * {BYTES[a.dtype]} bytes of {a.dtype} * "
            f"{COPIES} (parameter, gradient, two moments) = {needed} bytes of {machine.memory_bytes:.0f}",
        )
