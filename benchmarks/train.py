"""Tokens per second of training, against the same model in PyTorch.

    python -m benchmarks.train [--json] [--gpu | --cpu [--batch 1 | 32]] [--small] [--torch-python PATH]

On a CPU: the tokens of the demo's grid at each width, trained as the local launcher does, one pinned process
a core, against PyTorch one cell after the other, eager and by torch.compile, on one thread and on all, with
the fused and the foreach AdamW: the best of these counts, as found at width 24. `sweep_vs_*` is the ratio of
tokens per second over the whole grid, `width_*_vs_*` at one width, `batch32_*` the same at four widths with
32 windows a step. Compilation is apart, summed over widths: ours of the training program, torch's its first
step. What trunks save is not credited: both train the same tokens. Each batch takes a quarter of an
hour; `--batch` takes one of the two, and what is measured is printed to stderr as it comes.

On a GPU: bfloat16 at sizes of 1 to 350 million non-embedding parameters, context 1,024, bytes below ten
million (a larger vocabulary would outweigh the body) and 32,768 tokens from there. `gpu_SIZE_vs_torch`: our
tokens per second over torch.compile's with flash attention; `gpu_SIZE_packed_vs_torch`: those of several
members in one program together, over the same; `gpu_SIZE_mfu`: of the matrix peak measured here.

Every measurement is a process of its own. Before any of them torch's loss and gradients are compared with
JAX's on the same parameters. `--torch-python` names the interpreter that has torch where it is not this one;
`--small` runs the same path on shapes that prove only that it runs.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import is_small, print_results, random_inputs, seconds
from isoflop.models import ModelConfig, build, family, family_of_size
from isoflop.sweeps.configs.cpu_demo import SWEEP
from isoflop.sweeps.grids.cells import grid_cells
from isoflop.sweeps.workers.child import CPU_XLA_FLAGS
from isoflop.train.data.batches import CHUNK
from isoflop.train.spec import AdamW, DataSpec, Recipe, Schedule

PROBED = (24,)
SOME_WIDTHS = (16, 24, 48, 80)
MODES = ("default", "max-autotune-no-cudagraphs", "step")
OPTIMIZERS = ("fused", "foreach")
SIZES = {"1M": 1e6, "3M": 3e6, "10M": 1e7, "30M": 3e7, "100M": 1e8, "350M": 3.5e8}
BATCH_TOKENS = 1 << 16
"""Tokens of a step on a GPU, packed or alone; half of it from 100 million parameters."""

MEMBERS = 4
CALLS = 5
STRETCH_SECONDS = 1.0
"""What one timed call is sized to take."""


class Random:
    """Stands in for a corpus: the plan asks for its vocabulary and its name."""

    vocab_size = 256
    eos = None
    spec = DataSpec("random", "bytes", "none")


def main() -> None:
    """Times this machine; with `--job`, is one measurement's process."""
    if "--job" in sys.argv:
        print(json.dumps(_do(json.loads(sys.argv[-1]))))
        return
    if not _has_torch():
        print(
            "benchmarks.train needs torch: pip install 'isoflop[torch]', or --torch-python PATH",
            file=sys.stderr,
        )
        raise SystemExit(2)
    small = family(16, vocab_size=256, context_length=32)
    grouped = replace(small, heads=2, kv_heads=1, head_dim=8)
    results: dict[str, Any] = {"checked_to": max(_check(small), _check(grouped))}
    if "--gpu" in sys.argv or ("--cpu" not in sys.argv and _ours(kind="platform")["platform"] == "gpu"):
        results |= gpu(small=is_small())
    else:
        asked = [b for a, b in itertools.pairwise(sys.argv) if a == "--batch"] or ["1", "32"]
        if "1" in asked:
            results |= cpu(1, SWEEP.ladder, small=is_small())
        if "32" in asked:
            regime = cpu(32, SOME_WIDTHS, small=is_small())
            results |= {f"batch32_{name}": value for name, value in regime.items()}
    print_results(results)


def cpu(batch: int, only: Sequence[int], small: bool) -> dict[str, Any]:
    """Some widths of the demo's grid at `batch` windows a step."""
    tokens = Counter[int]()
    for planned in grid_cells(SWEEP, Random(), SWEEP.rates):  # pyright: ignore[reportArgumentType]  # no corpus
        tokens[planned.cell.recipe.model.width] += planned.cell.tokens
    widths = [w for w in sorted(tokens) if w in only and (not small or w in PROBED)]
    best = {probe: _best_torch(probe, batch, small) for probe in PROBED if probe in widths}
    results: dict[str, Any] = {}
    rates: dict[str, dict[int, float]] = {"ours": {}, "eager": {}, "compile": {}}
    compiling = {"compile_seconds": 0.0, "torch_compile_seconds": 0.0}
    for width in widths:
        probe = min(best, key=lambda p: abs(math.log(p / width)))
        recipe = _recipe(SWEEP.model_at(width, Random()), batch, "float32")
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


def gpu(small: bool) -> dict[str, Any]:
    """Each size alone and packed."""
    device = "cpu" if small else "cuda"
    peak = _ours(kind="peak", size=256 if small else 8192)["flops_per_second"]
    results: dict[str, Any] = {"gpu_matrix_peak_flops": peak}
    for name, size in {"tiny": 1e5}.items() if small else SIZES.items():
        model = family_of_size(
            size, vocab_size=256 if size < 1e7 else 32_768, context_length=64 if small else 1024
        )
        tokens = 256 if small else BATCH_TOKENS // (2 if size >= 1e8 else 1)
        recipe = _recipe(model, tokens // model.context_length, "bfloat16")
        torch = max(
            _torch(recipe, mode=mode, threads=1, optimizer="fused", device=device)["tokens_per_second"]
            for mode in (("default",) if small else MODES)
        )
        alone = packed_tokens_per_second(recipe, 1)
        results |= {
            f"gpu_{name}_tokens_per_second": alone,
            f"gpu_{name}_vs_torch": alone / torch,
            f"gpu_{name}_mfu": alone * recipe.ledger.train_flops / peak,
            f"gpu_{name}_torch_mfu": torch * recipe.ledger.train_flops / peak,
        }
        if size < 1e8:
            packed = packed_tokens_per_second(recipe, MEMBERS)
            results[f"gpu_{name}_packed_vs_torch"] = packed / torch
            results[f"gpu_{name}_packed_mfu"] = packed * recipe.ledger.train_flops / peak
    return results


def packed_tokens_per_second(recipe: Recipe, members: int) -> float:
    """Tokens per second of `members` runs of a recipe in one program, together."""
    return _ours(**_job(recipe), kind="train", members=members)["tokens_per_second"]


def _recipe(model: ModelConfig, batch: int, dtype: Any) -> Recipe:
    return Recipe(model, Random.spec, AdamW(1e-3), Schedule("wsd", warmup_steps=1), batch, 0, 0, dtype=dtype)


def _job(recipe: Recipe) -> dict[str, Any]:
    return {"model": asdict(recipe.model), "batch": recipe.batch_size, "dtype": recipe.dtype}


# Processes of ours.


def _do(job: dict[str, Any]) -> dict[str, Any]:
    import jax

    if job["kind"] == "platform":
        return {"platform": jax.default_backend()}
    if job["kind"] == "peak":
        return {"flops_per_second": _matrix_peak(job["size"])}
    if job["kind"] == "reference":
        return _reference(ModelConfig(**job["model"]), job["path"])
    return _train(_recipe(ModelConfig(**job["model"]), job["batch"], job["dtype"]), job.get("members", 1))


def _train(recipe: Recipe, members: int) -> dict[str, float]:
    """Tokens per second of all members together once compiled, and the seconds that compiling took."""
    import jax

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
    began = time.perf_counter()
    compiled = run.lower(state, windows, rows, rates, decay, np.int32(1)).compile()  # pyright: ignore[reportFunctionMemberAccess]
    compiling = time.perf_counter() - began

    def work(steps: int) -> Any:
        nonlocal state
        state, metrics = compiled(state, windows, rows, rates, decay, np.int32(steps))
        return metrics

    seconds(lambda: work(1))
    steps = min(CHUNK, max(1, round(STRETCH_SECONDS / seconds(lambda: work(1)))))
    times = [seconds(lambda: work(steps)) for _ in range(CALLS)]
    tokens = steps * recipe.batch_tokens * members
    return {"tokens_per_second": tokens / float(np.median(times)), "compile_seconds": compiling}


def _matrix_peak(size: int) -> float:
    """FLOP/s of square bfloat16 matrix products."""
    import jax

    x = jax.numpy.ones((size, size), jax.numpy.bfloat16)
    chain = jax.jit(lambda x: jax.lax.fori_loop(0, 20, lambda _, y: (x @ y) / size, x))
    seconds(lambda: chain(x))
    return 20 * 2 * size**3 / min(seconds(lambda: chain(x)) for _ in range(CALLS))


def _reference(config: ModelConfig, path: str) -> dict[str, Any]:
    """Files random parameters, windows, and the loss and gradients there."""
    import jax
    import optax
    from flax import nnx

    graph, params = nnx.split(build(config, seed=0, dtype="float32"))
    draw = np.random.default_rng(0)
    # All of them, for zero output matrices would hide what comes before them.
    params = jax.tree.map(
        lambda p: np.float32(p + draw.standard_normal(p.shape) * p.shape[0] ** -0.5), params
    )
    windows = draw.integers(0, config.vocab_size, (3, config.context_length + 1)).astype(np.int32)

    def objective(params: Any) -> jax.Array:
        logits = nnx.merge(graph, params)(windows[:, :-1])  # pyright: ignore[reportCallIssue]
        return optax.softmax_cross_entropy_with_integer_labels(logits, windows[:, 1:]).mean()

    loss, gradient = jax.jit(jax.value_and_grad(objective))(params)
    np.savez(path, loss=loss, windows=windows, **_named("parameter", params), **_named("gradient", gradient))
    return {}


def _named(kind: str, tree: Any) -> dict[str, Any]:
    import jax

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves)
    return {
        f"{kind}/{name.removesuffix('.value')}": leaf for name, (_, leaf) in zip(names, leaves, strict=True)
    }


def _ours(**job: Any) -> dict[str, Any]:
    return _result(_start(job))


def _pinned(recipe: Recipe) -> list[dict[str, Any]]:
    """As the local launcher trains: a process on each core."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {CPU_XLA_FLAGS}".strip()
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    job = _job(recipe) | {"kind": "train"}
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
    recipe = _recipe(SWEEP.model_at(width, Random()), batch, "float32")
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


def _torch(recipe: Recipe, *, device: str = "cpu", **settings: Any) -> dict[str, Any]:
    found = _torch_job(_job(recipe) | {"device": device, "steps": _torch_steps(recipe, device)} | settings)
    _progress(f"torch, {settings}", recipe, found["tokens_per_second"])
    return found


def _progress(who: str, recipe: Recipe, tokens_per_second: float) -> None:
    where = f"width {recipe.model.width}, {recipe.batch_size} windows"
    print(f"{where}: {who}: {tokens_per_second:,.0f} tokens/s", file=sys.stderr, flush=True)


def _torch_steps(recipe: Recipe, device: str) -> int:
    per_step = recipe.batch_tokens * recipe.ledger.train_flops
    return max(3, min(CHUNK, round(STRETCH_SECONDS * (2e10 if device == "cpu" else 2e14) / per_step)))


def _check(model: ModelConfig) -> float:
    """Largest difference of torch's loss and gradients from ours; ends the benchmark where they differ."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "reference.npz")
        _ours(kind="reference", model=asdict(model), path=path)
        return _torch_job({"model": asdict(model), "device": "cpu", "reference": path})["largest_difference"]


def _torch_job(job: dict[str, Any]) -> dict[str, Any]:
    with _file(job) as path:
        command = [_torch_python(), "-m", "benchmarks.torch_peer", path]
        return _result(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))


@contextmanager
def _file(job: dict[str, Any]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job))
        yield str(path)


def _torch_python() -> str:
    given = "--torch-python" in sys.argv
    return sys.argv[sys.argv.index("--torch-python") + 1] if given else sys.executable


def _has_torch() -> bool:
    return "--torch-python" in sys.argv or importlib.util.find_spec("torch") is not None


if __name__ == "__main__":
    main()
