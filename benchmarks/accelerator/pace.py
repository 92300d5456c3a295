"""A calibration of workers that share the device: step times of a few packs, all workers at the same time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.accelerator.part import START_SECONDS, Part
from benchmarks.processes import Measurer

TIMED_SECONDS = 2.0
COMPILE_LIMIT = 120.0


def pack_pace(model: Mapping[str, Any], batch: int, dtype: str, members: int, timed: bool) -> dict[str, Any]:
    """Compile a pack's program, or, `timed`, take its steps for TIMED_SECONDS: seconds of either."""
    if not timed:
        return {"compile_seconds": _program(json.dumps(model), batch, dtype, members)["compile_seconds"]}
    return {"step_seconds": _step_seconds(_program(json.dumps(model), batch, dtype, members))}


def measure_together(
    part: Part, workers: int, settings: Sequence[Mapping[str, Any]], env: Mapping[str, str]
) -> list[dict[str, float]]:
    """For each setting, the mean over workers of the seconds of compiling and of a step, each taken by all
    workers at the same time. Raises `MeasurementError` where any of them fails."""
    with ExitStack() as stack, ThreadPoolExecutor(workers) as pool:
        measurers = [
            stack.enter_context(Measurer("benchmarks.accelerator.pace.pack_pace", part.env | dict(env)))
            for _ in range(workers)
        ]

        def all_of(setting: Mapping[str, Any], limit: float) -> dict[str, float]:
            results = list(pool.map(lambda m: m.measure(setting, min(limit, part.left)), measurers))
            return {name: float(np.mean([result[name] for result in results])) for name in results[0]}

        found = []
        for setting in settings:
            compiling = all_of({**setting, "timed": False}, COMPILE_LIMIT + START_SECONDS)
            found.append(compiling | all_of({**setting, "timed": True}, COMPILE_LIMIT))
        return found


@lru_cache(maxsize=1)
def _program(model: str, batch: int, dtype: Any, members: int) -> dict[str, Any]:
    from benchmarks.training_speed import compiled_run, recipe_of
    from isoflop.models import ModelConfig

    state, compiled, inputs, seconds = compiled_run(
        recipe_of(ModelConfig(**json.loads(model)), batch, dtype), members
    )
    return {"state": state, "run": compiled, "inputs": inputs, "compile_seconds": seconds}


def _step_seconds(program: dict[str, Any]) -> float:
    """Median over calls of a few steps, as training makes them."""
    import jax

    def call(steps: int) -> float:
        began = time.perf_counter()
        program["state"], metrics = program["run"](program["state"], *program["inputs"], np.int32(steps))
        jax.block_until_ready(metrics)
        return (time.perf_counter() - began) / steps

    call(1)
    steps = max(1, min(64, round(TIMED_SECONDS / 10 / call(2))))
    paces, began = [], time.perf_counter()
    while time.perf_counter() - began < TIMED_SECONDS:
        paces.append(call(steps))
    return float(np.median(paces))
