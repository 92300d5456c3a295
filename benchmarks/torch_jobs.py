"""Jobs for `benchmarks.torch_peer`, which runs in the interpreter that has torch."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.processes import run_json
from isoflop.models import ModelConfig, family
from isoflop.train.spec import Recipe


def has_torch(python: str | None = None) -> bool:
    """Whether there is an interpreter with torch: `python`, if one was named, or this one."""
    return python is not None or importlib.util.find_spec("torch") is not None


def job_of(recipe: Recipe) -> dict[str, Any]:
    """What both sides take of a recipe."""
    return {"model": asdict(recipe.model), "batch": recipe.batch_size, "dtype": recipe.dtype}


def run_peer(job: dict[str, Any], python: str | None, seconds: float) -> dict[str, Any]:
    """The result of a job of torch's. Raises `MeasurementError`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job))
        return run_json([python or sys.executable, "-m", "benchmarks.torch_peer", str(path)], seconds)


def check_peer(python: str | None, seconds: float = 600.0) -> float:
    """The largest difference of torch's loss and gradients from JAX's on the same parameters, on the CPU.

    Raises `MeasurementError` where they are not the same function.
    """
    small = family(16, vocab_size=256, context_length=32)
    grouped = family(16, vocab_size=256, context_length=32, heads=2, kv_heads=1, head_dim=8)
    return max(_difference(model, python, seconds) for model in (small, grouped))


def _difference(model: ModelConfig, python: str | None, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "reference.npz")
        ours = [sys.executable, "-m", "benchmarks.torch_jobs", json.dumps(asdict(model)), path]
        run_json(ours, seconds, {"JAX_PLATFORMS": "cpu"})
        job = {"model": asdict(model), "device": "cpu", "reference": path}
        return run_peer(job, python, seconds)["largest_difference"]


def _file_reference(config: ModelConfig, path: str) -> None:
    """Files random parameters, windows, and the loss and gradients there."""
    import jax
    import numpy as np
    import optax
    from flax import nnx

    from isoflop.models import build

    graph, params = nnx.split(build(config, seed=0, dtype="float32"))
    draw = np.random.default_rng(0)
    # All of them, for zero output matrices would hide what comes before them.
    params = jax.tree.map(
        lambda p: np.float32(p + draw.standard_normal(p.shape) * p.shape[0] ** -0.5), params
    )
    windows = draw.integers(0, config.vocab_size, (3, config.context_length + 1)).astype(np.int32)

    def objective(params: Any) -> jax.Array:
        logits = nnx.merge(graph, params)(windows[:, :-1])  # pyright: ignore[reportCallIssue]  # a module
        return optax.softmax_cross_entropy_with_integer_labels(logits, windows[:, 1:]).mean()

    loss, gradient = jax.jit(jax.value_and_grad(objective))(params)
    np.savez(path, loss=loss, windows=windows, **_named("parameter", params), **_named("gradient", gradient))


def _named(kind: str, tree: Any) -> dict[str, Any]:
    import jax

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves)
    return {
        f"{kind}/{name.removesuffix('.value')}": leaf for name, (_, leaf) in zip(names, leaves, strict=True)
    }


if __name__ == "__main__":
    _file_reference(ModelConfig(**json.loads(sys.argv[1])), sys.argv[2])
    print(json.dumps({}))
