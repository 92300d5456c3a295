"""This machine: on a CPU one pinned process a core, with accelerators one process each.

Two processes of one core each train small models faster than one process on both, and a result on a
single core doesn't depend on how many cores the machine has.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from isoflop.base.errors import UserError
from isoflop.sweeps.launchers.pool import GRACE_SECONDS, WorkerPool
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution


def refuse_missing(execution: Execution) -> None:
    """Raises `UserError` for a platform that this machine lacks, and for a cell on several machines."""
    if execution.nodes > 1:
        raise UserError(f"nodes {execution.nodes}: the local launcher has one: take --launcher slurm")
    child.refuse_missing_platform(execution)


def open_launcher(store: Store, worker_options: WorkerOptions) -> LocalLauncher:
    """This machine's cores or accelerators, for the sweep in `store`."""
    return LocalLauncher(store, worker_options)


@dataclass(frozen=True)
class Slot:
    """Where one worker runs: a core, a group of GPUs, or (both None) wherever it likes."""

    number: int
    core: int | None = None
    gpu: str | None = None

    def __str__(self) -> str:
        if self.core is not None:
            return f"core {self.core}"
        return f"place {self.number}" if self.gpu is None else f"GPU {self.gpu}"


class LocalLauncher(WorkerPool):
    """Processes of this machine by their slots; each compiles a width's programs once for all its tasks."""

    def __init__(self, store: Store, worker_options: WorkerOptions) -> None:
        refuse_missing(worker_options.execution)
        self.log = store.path / "worker.log"
        super().__init__(store, worker_options, self.log)
        self.slots = _slots(worker_options.execution)

    @property
    def worker_count(self) -> int:
        return len(self.slots)

    def reap(self) -> list[str]:
        lines = []
        for slot, process in list(self.workers.items()):
            if (status := process.poll()) is not None:
                del self.workers[slot]
                if why := self.exit_message(status):
                    lines.append(f"the worker on {slot} {why} (see worker.log); another takes its place")
        return lines

    def start(self, count: int) -> list[str]:
        free = [slot for slot in self.slots if slot not in self.workers]
        for slot in free[:count]:
            with self.log.open("a") as log:
                self.workers[slot] = child.start(
                    self.store.path, self.worker_options, core=slot.core, gpu=slot.gpu, log=log
                )
        return []

    def close(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):  # a second one: at once, and nothing else is lost
            for process in self.workers.values():
                process.terminate()
            deadline = time.monotonic() + GRACE_SECONDS
            for process in self.workers.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        for process in self.workers.values():
            process.kill()
            process.wait()
        self.workers.clear()


def _slots(execution: Execution) -> Sequence[Slot]:
    if child.accelerated(execution):
        gpus = _gpus()
        groups = [
            gpus[i : i + execution.devices]
            for i in range(0, len(gpus) - execution.devices + 1, execution.devices)
        ]
        return [Slot(i, gpu=",".join(group)) for i, group in enumerate(groups)] or [Slot(0)]
    if execution.devices > 1:
        return [Slot(0)]
    if hasattr(os, "sched_getaffinity"):
        return [Slot(i, core=core) for i, core in enumerate(sorted(os.sched_getaffinity(0)))]
    return [Slot(i) for i in range(os.cpu_count() or 1)]


def _gpus() -> list[str]:
    """NVIDIA's GPUs that this process may use; none where its driver lists none."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in visible.split(",") if gpu]
    try:
        asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return []
