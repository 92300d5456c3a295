"""One process of a run spread over devices: `python -m tests.train.spread` with a JSON object on stdin.

Trains steps of the small recipe over `devices`, from the checkpoint `parent` if any, saves one to `save`, and
prints the losses. With `port`, it is process `process` of `processes`, each with its share of the devices.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Does what stdin asks for."""
    asked: dict[str, Any] = json.load(sys.stdin)
    local = asked["devices"] // asked.get("processes", 1)
    os.environ |= {"XLA_FLAGS": f"--xla_force_host_platform_device_count={local}", "JAX_PLATFORMS": "cpu"}
    import jax

    if "port" in asked:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{asked['port']}", asked["processes"], asked["process"])
    from tests.small import small_model, small_recipe
    from train import checkpoint
    from train.corpus import prepare
    from train.execution import Execution
    from train.loop import evaluate, run_segment
    from train.spec import CellSpec, Segment

    corpus = prepare(asked["source"], "bytes")
    how = Execution(devices=asked["devices"])
    recipe = small_recipe(corpus, model=small_model(16, **asked["model"]), batch_size=8)
    segment = Segment(recipe, asked["start"], asked["stop"], asked["total"], None)
    parent = Path(asked["parent"]) if asked.get("parent") else None
    trained = run_segment(segment, corpus, parent, how=how)
    checkpoint.save(trained.state, Path(asked["save"]))
    windows = evaluate(CellSpec(recipe, asked["total"], "heldout", 20), trained.state, corpus, how)
    shards = {str(x.sharding.spec) for x in jax.tree.leaves(trained.state) if hasattr(x.sharding, "spec")}
    print(
        json.dumps({"losses": trained.losses.tolist(), "windows": windows.tolist(), "shards": sorted(shards)})
    )


if __name__ == "__main__":
    main()
