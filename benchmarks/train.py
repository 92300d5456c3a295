"""Tokens per second of training on a CPU, against the same model in PyTorch.

    python -m benchmarks.train [--json] [--batch N ...] [--small] [--torch-python PATH]

The tokens of the demo's grid at each width, trained as the local launcher does, one pinned process
a core, against PyTorch one cell after the other, eager and by torch.compile, on one thread and on all, with
the fused and the foreach AdamW: the best of these counts, as found at width 24. `sweep_vs_*` is the ratio of
tokens per second over the whole grid, `width_*_vs_*` at one width, `batch32_*` the same at four widths with
32 windows a step. Compilation is apart, summed over widths: ours of the training program, torch's its first
step. What trunks save is not credited: both train the same tokens. Each batch takes six minutes or more; the
demo's, 2, unless `--batch` names others. What is measured is printed to stderr as it comes. GPUs are
`benchmarks.accelerator`'s.

Every measurement is a process of its own. Before any of them torch's loss and gradients are compared with
JAX's on the same parameters. `--torch-python` names the interpreter that has torch where it is not this one;
`--small` runs the same path on shapes that prove only that it runs.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.processes import MeasurementError
from benchmarks.timing import is_small, print_results
from benchmarks.torch_jobs import check_peer, has_torch, job_of, run_peer
from benchmarks.training_speed import CALL_SECONDS, RandomTokens, recipe_of, train_speed
from isoflop.sweeps.configs.cpu_demo import SWEEP
from isoflop.sweeps.grids.cells import grid_cells
from isoflop.sweeps.workers.child import CPU_XLA_FLAGS
from isoflop.train.data.batches import CHUNK
from isoflop.train.spec import Recipe

PROBED = (24,)
SOME_WIDTHS = (16, 24, 48, 80)
MODES = ("default", "max-autotune-no-cudagraphs", "step")
OPTIMIZERS = ("fused", "foreach")
TORCH_FLOPS = 2e10
"""FLOP/s that torch is taken to reach, to size what is timed of it."""
LONGEST_SECONDS = 1800.0
LARGE_BATCH = 8
"""Windows a step, from which the demo's widths are too many to measure all."""


def main() -> None:
    """Times this machine; with `--job`, is one of our pinned processes."""
    if "--job" in sys.argv:
        print(json.dumps(train_speed(**json.loads(sys.argv[-1]))))
        return
    if not has_torch(_torch_python()):
        print(
            "benchmarks.train needs torch: pip install 'isoflop[torch]', or --torch-python PATH",
            file=sys.stderr,
        )
        raise SystemExit(2)
    try:
        print_results(_results())
    except MeasurementError as error:
        raise SystemExit(f"benchmarks.train: {error}") from error


def _results() -> dict[str, Any]:
    results: dict[str, Any] = {"checked_to": check_peer(_torch_python())}
    words = [b for a, b in itertools.pairwise(sys.argv) if a == "--batch"] or ["2"]
    if wrong := [word for word in words if not word.isdecimal() or int(word) == 0]:
        print(f"--batch {wrong[0]}: give a whole number of windows a step, such as 2", file=sys.stderr)
        sys.exit(2)
    asked = [int(word) for word in words]
    for batch in asked:
        found = cpu(batch, SWEEP.ladder if batch < LARGE_BATCH else SOME_WIDTHS, small=is_small())
        results |= found if batch == 1 else {f"batch{batch}_{name}": value for name, value in found.items()}
    return results


def cpu(batch: int, only: Sequence[int], small: bool) -> dict[str, Any]:
    """Some widths of the demo's grid at `batch` windows a step."""
    tokens = Counter[int]()
    for planned in grid_cells(SWEEP, RandomTokens(), SWEEP.rates):  # pyright: ignore[reportArgumentType]  # no corpus
        tokens[planned.cell.recipe.model.width] += planned.cell.tokens
    widths = [w for w in sorted(tokens) if w in only and (not small or w in PROBED)]
    best = {probe: _best_torch(probe, batch, small) for probe in PROBED if probe in widths}
    results: dict[str, Any] = {}
    rates: dict[str, dict[int, float]] = {"ours": {}, "eager": {}, "compile": {}}
    compiling = {"compile_seconds": 0.0, "torch_compile_seconds": 0.0}
    for width in widths:
        probe = min(best, key=lambda p: abs(math.log(p / width)))
        recipe = recipe_of(SWEEP.model_at(width, RandomTokens()), batch, "float32")
        ours = _pinned(recipe)
        compiling["compile_seconds"] += max(one["compile_seconds"] for one in ours)
        rates["ours"][width] = sum(one["tokens_per_second"] for one in ours)
        _progress("ours", recipe, rates["ours"][width])
        for peer in ("eager", "compile"):
            found = _torch(recipe, **best[probe][peer])
            rates[peer][width] = found["tokens_per_second"]
            results[f"width_{width}_vs_torch_{peer}"] = rates["ours"][width] / rates[peer][width]
        compiling["torch_compile_seconds"] += found["first_step_seconds"]
    whole = {
        who: sum(tokens[w] for w in widths) / sum(tokens[w] / r for w, r in rate.items())
        for who, rate in rates.items()
    }
    return {
        "sweep_vs_torch_eager": whole["ours"] / whole["eager"],
        "sweep_vs_torch_compile": whole["ours"] / whole["compile"],
        "sweep_tokens_per_second": whole["ours"],
        **compiling,
        **results,
        **{f"torch_{peer}_at_{probe}": best[probe][peer] for probe in best for peer in best[probe]},
    }


def _pinned(recipe: Recipe) -> list[dict[str, Any]]:
    """As the local launcher trains: a process on each core."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {CPU_XLA_FLAGS}".strip()
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    job = job_of(recipe)
    processes = []
    for core in _cores():
        processes.append(_start(job, env))
        if core is not None:
            os.sched_setaffinity(processes[-1].pid, {core})
    return [_result(process) for process in processes]


def _start(job: dict[str, Any], env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.train", "--job", json.dumps(job)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    output = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"benchmarks.train: a measurement ended with status {process.returncode}")
    return json.loads(output.splitlines()[-1])


def _cores() -> Sequence[int | None]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [None] * (os.cpu_count() or 1)


# Processes of torch's.


def _best_torch(width: int, batch: int, small: bool) -> dict[str, dict[str, Any]]:
    """The fastest arrangement of eager and of compiled torch at a width."""
    recipe = recipe_of(SWEEP.model_at(width, RandomTokens()), batch, "float32")
    threads = sorted({1, len(_cores())})

    def best(modes: Iterable[str], optimizers: Iterable[str]) -> dict[str, Any]:
        tried = [
            {"mode": mode, "threads": count, "optimizer": optimizer}
            for mode in modes
            for count in threads
            for optimizer in optimizers
        ]
        return max(tried, key=lambda settings: _torch(recipe, **settings)["tokens_per_second"])

    eager = best(("eager",), OPTIMIZERS)
    # A compiled optimizer is compiled from foreach; otherwise eager's choice is as good here.
    compiled = [best(MODES[:1] if small else MODES[:2], (eager["optimizer"],))]
    if not small:
        compiled.append(best(MODES[2:], ("foreach",)))
    return {
        "eager": eager,
        "compile": max(compiled, key=lambda settings: _torch(recipe, **settings)["tokens_per_second"]),
    }


def _torch(recipe: Recipe, **settings: Any) -> dict[str, Any]:
    job = job_of(recipe) | {"device": "cpu", "steps": _torch_steps(recipe)} | settings
    found = run_peer(job, _torch_python(), LONGEST_SECONDS)
    _progress(f"torch, {settings}", recipe, found["tokens_per_second"])
    return found


def _progress(who: str, recipe: Recipe, tokens_per_second: float) -> None:
    where = f"width {recipe.model.width}, {recipe.batch_size} windows"
    print(f"{where}: {who}: {tokens_per_second:,.0f} tokens/s", file=sys.stderr, flush=True)


def _torch_steps(recipe: Recipe) -> int:
    per_step = recipe.batch_tokens * recipe.ledger.train_flops
    return max(3, min(CHUNK, round(CALL_SECONDS * TORCH_FLOPS / per_step)))


def _torch_python() -> str | None:
    given = "--torch-python" in sys.argv
    return sys.argv[sys.argv.index("--torch-python") + 1] if given else None


if __name__ == "__main__":
    main()
