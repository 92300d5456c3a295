"""Tokens per second of a recipe's compiled training program, alone or packed, on random tokens."""

from __future__ import annotations

import time
from typing import Any

import jax
import numpy as np

from benchmarks.timing import random_inputs, seconds
from isoflop.models import ModelConfig
from isoflop.models.config import Dtype
from isoflop.train.data.batches import CHUNK
from isoflop.train.spec import AdamW, DataSpec, Recipe, Schedule

CALLS = 5
CALL_SECONDS = 1.0
"""What one timed call is sized to take."""


class RandomTokens:
    """Stands in for a corpus: a plan and a family ask for its vocabulary and its name."""

    spec = DataSpec("random", "bytes", "none")
    eos = None

    def __init__(self, vocab_size: int = 256) -> None:
        self.vocab_size = vocab_size


def recipe_of(model: ModelConfig, batch: int, dtype: Dtype) -> Recipe:
    """The recipe that is timed: `batch` windows a step."""
    schedule = Schedule("wsd", warmup_steps=1)
    return Recipe(model, RandomTokens.spec, AdamW(1e-3), schedule, batch, 0, 0, dtype=dtype)


def train_speed(model: dict[str, Any], batch: int, dtype: Dtype, members: int = 1) -> dict[str, float]:
    """Tokens per second of all members together once compiled, the seconds that compiling took, those of a
    step, and the most bytes of the device (of this process, on a CPU) that were in use.

    `model`: the fields of a `ModelConfig`.
    """
    from isoflop.train.device import peak_memory_bytes

    recipe = recipe_of(ModelConfig(**model), batch, dtype)
    state, compiled, inputs, compiling = compiled_run(recipe, members)

    def work(steps: int) -> Any:
        nonlocal state
        state, metrics = compiled(state, *inputs, np.int32(steps))
        return metrics

    seconds(lambda: work(1))
    steps = min(CHUNK, max(1, round(CALL_SECONDS / seconds(lambda: work(1)))))
    calls = [seconds(lambda: work(steps)) for _ in range(CALLS)]
    step = float(np.median(calls)) / steps
    return {
        "tokens_per_second": recipe.batch_tokens * members / step,
        "step_seconds": step,
        "compile_seconds": compiling,
        "peak_bytes": peak_memory_bytes(),
    }


def compiled_run(recipe: Recipe, members: int) -> tuple[Any, Any, tuple[Any, ...], float]:
    """The state of `members` runs, the compiled program, what it takes between state and steps, and the
    seconds that it took to compile."""
    from isoflop.train.step import programs

    program = programs(recipe)
    windows, rows, rates = random_inputs(recipe)
    windows, decay = jax.numpy.asarray(windows), np.float32(0.1)
    if members == 1:
        state, run = program.init(0), program.train
    else:
        copies = [program.init(seed) for seed in range(members)]
        state = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *copies)
        rows, rates, decay = (np.stack([x] * members) for x in (rows, rates, decay))
        run = program.train_members
    inputs = (windows, rows, rates, decay)
    began = time.perf_counter()
    compiled = run.lower(state, *inputs, np.int32(1)).compile()  # pyright: ignore[reportFunctionMemberAccess]  # jitted
    return state, compiled, inputs, time.perf_counter() - began
