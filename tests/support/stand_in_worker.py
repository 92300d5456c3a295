"""A stand-in for a worker in tests of launchers: it records what happens, in the folder's `events.jsonl`.

`python -m tests.support.stand_in_worker FOLDER OPTIONS` reads FOLDER/instructions.json: `code` to end with at
once, or nothing, to work until it is asked to leave; then it takes `leaving` seconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

VARIABLES = (
    *("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_PROCID", "SLURM_CPUS_PER_TASK", "SLURMD_NODENAME"),
    *(
        "ISOFLOP_COORDINATOR",
        "ISOFLOP_PROCESS_ID",
        "ISOFLOP_PROCESSES",
        "XLA_FLAGS",
        "NPROC",
        "RAY_RAYLET_PID",
    ),
)


def main() -> None:
    """Is a worker that does nothing."""
    folder = Path(sys.argv[1])
    instructions = json.loads((folder / "instructions.json").read_text())
    left = threading.Event()

    def record(event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "pid": os.getpid(), **facts}) + "\n"
        with (folder / "events.jsonl").open("a") as file:
            file.write(line)

    def leave(number: int, frame: Any) -> None:
        record("signal", name=signal.Signals(number).name)
        left.set()

    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
        signal.signal(number, leave)
    record("start", options=json.loads(sys.argv[2]), **{name: os.environ.get(name) for name in VARIABLES})
    if "code" in instructions:
        sys.exit(instructions["code"])
    if instructions.get("distributed"):
        record("sum", value=_sum_over_processes())
    parent = int(os.environ["ISOFLOP_PARENT"])
    while not left.wait(0.05):
        if os.getppid() != parent:
            record("orphaned")
            return
    threading.Event().wait(instructions.get("leaving", 0.0))
    record("left")


def _sum_over_processes() -> float:
    """Of what each device of each process holds, its own number."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    processes, process = (int(os.environ[f"ISOFLOP_{name}"]) for name in ("PROCESSES", "PROCESS_ID"))
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    jax.distributed.initialize(os.environ["ISOFLOP_COORDINATOR"], processes, process)
    numbers = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
    own = np.array([d.id for d in jax.local_devices()], dtype=np.float32)
    whole = jax.make_array_from_process_local_data(numbers, np.full_like(own, 1 + jax.process_index()))
    return float(jax.jit(jnp.sum)(whole))


if __name__ == "__main__":
    main()
