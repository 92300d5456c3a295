"""A run spread over devices, in this process or in one of several.

`python -m tests.support.spread` reads a JSON object from stdin: the arguments of `train`, and the `port`, the
`process` and the number of `processes`, each with its share of the devices. It prints what `train` returns.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def train(
    source: str,
    devices: int,
    model: dict[str, Any],
    *,
    steps: tuple[int, int, int],
    save: str,
    parent: str | None = None,
) -> dict[str, Any]:
    """Losses, held-out losses and shardings of steps (start, stop, total), saved to `save`."""
    import jax

    from isoflop.train import checkpoint
    from isoflop.train.data.corpus import prepare
    from isoflop.train.execution import Execution
    from isoflop.train.loop import evaluate, run_segment
    from isoflop.train.spec import CellSpec, Segment
    from tests.support.small import small_model, small_recipe

    corpus, how = prepare(source, "bytes"), Execution(devices=devices)
    recipe = small_recipe(corpus, model=small_model(16, **model), batch_size=8)
    segment = Segment(recipe, *steps, None)
    trained = run_segment(segment, corpus, Path(parent) if parent else None, how)
    checkpoint.save(trained.state, Path(save))
    windows = evaluate(CellSpec(recipe, steps[-1], "heldout", 20), trained.state, corpus, how).losses
    shards = {str(x.sharding.spec) for x in jax.tree.leaves(trained.state) if hasattr(x.sharding, "spec")}
    return {"losses": trained.losses.tolist(), "windows": windows.tolist(), "shards": sorted(shards)}


def main() -> None:
    """Is one process of several."""
    asked: dict[str, Any] = json.load(sys.stdin)
    port, processes, process = (asked.pop(name) for name in ("port", "processes", "process"))
    local = asked["devices"] // processes
    os.environ |= {"XLA_FLAGS": f"--xla_force_host_platform_device_count={local}", "JAX_PLATFORMS": "cpu"}
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)
    print(json.dumps(train(**asked)))


if __name__ == "__main__":
    main()
