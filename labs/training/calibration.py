"""The machine that a lab trains on, measured: FLOPs per second, and the rest of a step's time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax

from isoflop.labs.contract.rules import Windows
from isoflop.labs.contract.training_config import AdamWConfig, ArchitectureConfig, TrainingConfig
from isoflop.labs.pricing import Machine, ledger
from isoflop.labs.training.run import Run
from isoflop.train.data.corpus import Corpus
from isoflop.train.device import find_device
from isoflop.train.execution import Execution

WIDTHS = (128, 256, 512, 1024, 2048)
LAYERS, BATCH = 4, 8
ENOUGH_SECONDS = 0.2
"""A step of this length is nearly all FLOPs: no wider model is tried."""
TIMED_STEPS = 3


@dataclass(frozen=True)
class Timing:
    """Seconds and FLOPs of one optimizer step, and of an evaluation."""

    step_seconds: float
    step_flops: float
    evaluation_seconds: float
    evaluation_flops: float


def measured_machine(corpus: Corpus, windows: Windows) -> Machine:
    """This machine, from a tiny model and one that keeps it busy, by the clock that runs are charged by.

    Float32 on a CPU and bfloat16 on an accelerator. A tenth of a minute to a minute, compilation included.
    """
    large = tiny = _timing(corpus, windows, width=32, layers=1, batch=1)
    for width in WIDTHS:
        large = _timing(corpus, windows, width=width, layers=LAYERS, batch=BATCH)
        if large.step_seconds > ENOUGH_SECONDS:
            break
    return machine_of(tiny, large, float(find_device(Execution()).memory))


def machine_of(tiny: Timing, large: Timing, memory_bytes: float) -> Machine:
    """The machine whose step takes `step_seconds` and its FLOPs' time, by two timings of it."""
    seconds, flops = large.step_seconds - tiny.step_seconds, large.step_flops - tiny.step_flops
    if seconds <= 0 or flops <= 0:  # something else keeps the machine busy: what one of them shows alone
        seconds, flops = large.step_seconds, large.step_flops
    speed = flops / seconds
    return Machine(
        flops_per_second=speed,
        step_seconds=max(0.0, tiny.step_seconds - tiny.step_flops / speed),
        evaluation_seconds=max(0.0, tiny.evaluation_seconds - tiny.evaluation_flops / speed),
        memory_bytes=memory_bytes,
    )


def _timing(corpus: Corpus, windows: Windows, *, width: int, layers: int, batch: int) -> Timing:
    config = TrainingConfig(
        architecture_config=_architecture(width, layers, corpus.vocab_size),
        optimizer_config=AdamWConfig(),
        train_batch_size=batch,
        val_batch_size=1,
        n_evals=1,
        total_train_tokens=(1 + TIMED_STEPS) * batch * windows.context_length,
        max_runtime_seconds=1.0,
    )
    run = Run(config, corpus, windows, limit=math.inf, price=None)
    run.advance(0, 1)
    before = run.clock.used
    run.advance(1, 1 + TIMED_STEPS)
    steps = run.clock.used - before
    run.clock.time(run.evaluate, evaluations=1)
    costs = ledger(config.architecture_config, windows.context_length)
    return Timing(
        step_seconds=steps / TIMED_STEPS,
        step_flops=float(costs.train_flops * batch * windows.context_length),
        evaluation_seconds=run.clock.used - before - steps,
        evaluation_flops=float(costs.forward_flops * windows.n_val_tokens),
    )


def _architecture(width: int, layers: int, vocab_size: int) -> ArchitectureConfig:
    head_dim = min(64, width // 2)
    return ArchitectureConfig(
        attention_bias=False,
        head_dim=head_dim,
        hidden_size=width,
        intermediate_size=3 * width,
        num_attention_heads=width // head_dim,
        num_hidden_layers=layers,
        num_key_value_heads=width // head_dim,
        rms_norm_eps=1e-6,
        rope_theta=10_000,
        tie_word_embeddings=False,
        dtype="float32" if jax.default_backend() == "cpu" else "bfloat16",
        vocab_size=vocab_size,
    )
