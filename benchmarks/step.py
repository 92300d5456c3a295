"""The compiled loop over steps against its peer, one jitted step a call as most training scripts do it.

    python -m benchmarks.step [--json] [--small]

Pairs of timings in turn on one pinned core; `loop_vs_step_*` is the median ratio of tokens per second.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from benchmarks.timing import demo_recipe, is_small, print_results, random_inputs, seconds
from isoflop.train.data.batches import CHUNK
from isoflop.train.step import programs

WIDTHS = (16,) if is_small() else (16, 32, 64)
PAIRS = 1 if is_small() else 5


def main() -> None:
    """Times each width."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    results: dict[str, Any] = {}
    for width in WIDTHS:
        loop, step = zip(*(_pair(width) for _ in range(PAIRS)), strict=True)
        tokens = CHUNK * demo_recipe(width).batch_tokens
        results[f"loop_tokens_per_second_{width}"] = tokens / float(np.median(loop))
        results[f"loop_vs_step_{width}"] = float(np.median(np.divide(step, loop)))
    print_results(results)


def _pair(width: int) -> tuple[float, float]:
    """Seconds of CHUNK steps in one call, and in CHUNK calls; both compiled before."""
    recipe = demo_recipe(width)
    program = programs(recipe)
    windows, rows, rates = random_inputs(recipe)
    decay = np.float32(0.1)

    def calls(count: int, steps: int) -> Any:
        state = program.init(0)
        for i in range(count):
            state, losses = program.train(state, windows, np.roll(rows, -i, axis=0), rates, decay, steps)
            losses["loss"].block_until_ready()  # a script that logs its loss waits for it
        return state

    seconds(lambda: calls(1, 1))
    return seconds(lambda: calls(1, CHUNK)), seconds(lambda: calls(CHUNK, 1))


if __name__ == "__main__":
    main()
