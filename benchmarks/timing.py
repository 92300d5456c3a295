"""What the benchmarks share: a recipe of the demo's, random windows, and a timer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from isoflop.models import family
from isoflop.train.data.batches import CHUNK
from isoflop.train.spec import AdamW, DataSpec, Recipe, Schedule


def demo_recipe(width: int) -> Recipe:
    """A cell of the demo's, by its width."""
    model = family(width, vocab_size=256, context_length=128)
    data = DataSpec("random", "bytes", "none")
    return Recipe(
        model, data, AdamW(1e-3), Schedule("wsd", warmup_steps=1), batch_size=4, init_seed=0, data_seed=0
    )


def random_inputs(recipe: Recipe) -> tuple[NDArray[Any], ...]:
    """Windows (1000, T+1), the rows (CHUNK, B) that each step takes, and rates (CHUNK,)."""
    draw = np.random.default_rng(0)
    windows = draw.integers(0, recipe.model.vocab_size, (1000, recipe.model.context_length + 1))
    windows = windows.astype(np.uint8 if recipe.model.vocab_size <= 256 else np.int32)
    rows = draw.integers(0, 1000, (CHUNK, recipe.batch_size)).astype(np.int32)
    return windows, rows, np.full(CHUNK, 1e-3, np.float32)


def seconds(work: Callable[[], Any]) -> float:
    """Wall seconds of `work`, its arrays waited for."""
    began = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - began


def is_small() -> bool:
    """Whether `--small` was given: a size that takes seconds, and proves only that it runs."""
    return "--small" in sys.argv[1:]


def print_results(results: dict[str, Any]) -> None:
    """Print the results, as one JSON object where `--json` was given."""
    if "--json" in sys.argv[1:]:
        print(json.dumps(results))
        return
    for name, value in results.items():
        print(f"{name:<36} {value:.4g}" if isinstance(value, float) else f"{name:<36} {value}")
