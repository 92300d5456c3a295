"""One pinned process a core, as the local launcher trains, against its peer: one process on all cores.

    python -m benchmarks.workers [--json] [--small]

`pinned_vs_single_*` is the ratio of tokens per second of the whole machine, same work in both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.timing import demo_recipe, is_small, print_results, random_inputs, seconds
from isoflop.train.data.batches import CHUNK
from isoflop.train.step import programs

WIDTHS = (16,) if is_small() else (16, 32, 64)
CALLS = 6


def main() -> None:
    """Times each width under both arrangements; with `--worker`, is one of their processes."""
    if "--worker" in sys.argv:
        print(_tokens_per_second(int(sys.argv[-1])))
        return
    cores = sorted(os.sched_getaffinity(0))
    results: dict[str, Any] = {"cores": len(cores)}
    for width in WIDTHS:
        single = _machine(width, [set(cores)])
        pinned = _machine(width, [{core} for core in cores])
        results[f"pinned_tokens_per_second_{width}"] = pinned
        results[f"pinned_vs_single_{width}"] = pinned / single
    print_results(results)


def _machine(width: int, affinities: list[set[int]]) -> float:
    command = [sys.executable, "-m", "benchmarks.workers", "--worker", str(width)]
    processes = []
    for cores in affinities:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(process.pid, cores)
        processes.append(process)
    return sum(float(process.communicate()[0]) for process in processes)


def _tokens_per_second(width: int) -> float:
    recipe = demo_recipe(width)
    program = programs(recipe)
    windows, rows, rates = random_inputs(recipe)

    def work(steps: int) -> Any:
        return program.train(program.init(0), windows, rows, rates, np.float32(0.1), steps)

    seconds(lambda: work(1))
    times = [seconds(lambda: work(CHUNK)) for _ in range(CALLS)]
    return CHUNK * recipe.batch_tokens / float(np.median(times))


if __name__ == "__main__":
    main()
