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
from isoflop.sweeps.launchers.options import read_options
from isoflop.sweeps.launchers.pool import GRACE_SECONDS, WorkerPool
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution

USED_BY_WORKERS = 0.9
"""Of a GPU's memory, by the arrays of workers that share it; the rest is their programs' and CUDA's own."""


def refuse_missing(execution: Execution) -> None:
    """Raises `UserError` for a platform that this machine lacks, and for a cell on several machines."""
    if execution.nodes > 1:
        raise UserError(f"nodes {execution.nodes}: the local launcher has one: take --launcher slurm")
    child.refuse_missing_platform(execution)


@dataclass(frozen=True)
class LocalOptions:
    """How this machine is divided."""

    workers_per_gpu: int = 1
    """Workers that share a GPU, each with its part of the memory. More than one compile side by side, in a
    sweep of many widths; steps gain nothing."""
    workers: int = 0
    """Workers at the same time, at most; by default one a core or GPU."""


def open_launcher(store: Store, worker_options: WorkerOptions, options: str = "") -> LocalLauncher:
    """This machine's cores or accelerators, for the sweep in `store`.

    Raises `UserError` for options that don't fit the machine.
    """
    settings = read_options(LocalOptions, "local", options)
    if settings.workers_per_gpu < 1:
        raise UserError(f"workers_per_gpu {settings.workers_per_gpu}: must be 1 or more")
    if settings.workers < 0:
        raise UserError(f"workers {settings.workers}: must be 1 or more")
    if settings.workers_per_gpu > 1 and not child.accelerated(worker_options.execution):
        raise UserError(
            f"workers_per_gpu {settings.workers_per_gpu}: this sweep trains on cores, a worker each: drop it"
        )
    if settings.workers_per_gpu > 1 and not _gpus():
        raise UserError(
            f"workers_per_gpu {settings.workers_per_gpu}: no NVIDIA GPU is listed on this machine: drop it"
        )
    return LocalLauncher(store, worker_options, settings)


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

    def __init__(
        self, store: Store, worker_options: WorkerOptions, options: LocalOptions = LocalOptions()
    ) -> None:
        refuse_missing(worker_options.execution)
        self.log = store.path / "worker.log"
        super().__init__(store, worker_options, self.log)
        slots = _slots(worker_options.execution, options.workers_per_gpu)
        self.slots = slots[: options.workers or len(slots)]
        self.share = memory_share(options.workers_per_gpu)

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
                    self.store.path,
                    self.worker_options,
                    core=slot.core,
                    gpu=slot.gpu,
                    more=self.share,
                    log=log,
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


def _slots(execution: Execution, workers_per_gpu: int) -> Sequence[Slot]:
    if child.accelerated(execution):
        gpus = _gpus()
        groups = [
            ",".join(gpus[i : i + execution.devices])
            for i in range(0, len(gpus) - execution.devices + 1, execution.devices)
        ]
        # One after the other, so that few workers are on as many GPUs as they can.
        places = (groups or [None]) * workers_per_gpu
        return [Slot(i, gpu=gpu) for i, gpu in enumerate(places)]
    if execution.devices > 1:
        return [Slot(0)]
    if hasattr(os, "sched_getaffinity"):
        return [Slot(i, core=core) for i, core in enumerate(sorted(os.sched_getaffinity(0)))]
    return [Slot(i) for i in range(os.cpu_count() or 1)]


def memory_share(workers_per_gpu: int) -> dict[str, str]:
    """The environment that gives each of several workers on a GPU its part of USED_BY_WORKERS."""
    if workers_per_gpu == 1:
        return {}
    return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{USED_BY_WORKERS / workers_per_gpu:.3f}"}


def _gpus() -> list[str]:
    """NVIDIA's GPUs that this process may use; none where its driver lists none."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in visible.split(",") if gpu]
    try:
        asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return []
