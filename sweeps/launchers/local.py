"""This machine: on a CPU one pinned process a core, on an accelerator one process.

Two processes of one core each train small models faster than one process on both, and a result on a
single core doesn't depend on how many cores the machine has.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jaxlib.version

from models import ModelConfig
from models.errors import UserError
from sweeps.execute import Task, task_json
from sweeps.launchers import Listener, critical_path
from sweeps.memory import members_that_fit
from sweeps.store import Store
from train.device import Device
from train.execution import Execution
from train.loop import pack_key
from train.spec import from_json, to_json

ACCELERATOR_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "libtpu")

CPU_XLA_FLAGS = " ".join(
    [
        "--xla_backend_optimization_level=1",  # as fast as the highest for these models, sooner compiled
        "--xla_disable_hlo_passes=tree_reduction_rewriter",
        # Reductions by YNNPACK are slow at these sizes. Another JAX may not know the flag, and would abort.
        *(
            ["--xla_cpu_experimental_ynn_fusion_type="]
            if jaxlib.version.__version__.startswith("0.10.")
            else []
        ),
    ]
)


def open_launcher(store: Store, how: Execution) -> Local:
    """This machine's cores or accelerator, for the sweep in `store`."""
    return Local(store, how)


class Local:
    """Processes of this machine; each compiles a width's programs once for all its tasks."""

    def __init__(self, store: Store, how: Execution) -> None:
        self.store, self.how = store, how
        self.workers: list[_Worker] = []
        self.events: queue.Queue[tuple[_Worker, dict[str, Any]]] = queue.Queue()
        self._device: Device | None = None

    @property
    def worker_count(self) -> int:
        return len(_cores(self.how))

    @property
    def device(self) -> Device:
        if self._device is None:
            self.workers = [self._start(_cores(self.how)[0])]
            _, event = self.events.get()
            if event["event"] == "refused":
                raise UserError(event["reason"])
            if event["event"] != "ready":
                raise RuntimeError(f"no worker could start (see {self.store.path / 'worker.log'})")
            self._device = from_json(Device, event["device"])
            if self._device.platform == "cpu" and _accelerated(self.how):
                raise UserError(
                    "JAX has a plugin for an accelerator here and finds none: mend its driver, or say "
                    "--platform cpu to train on the cores"
                )
        return self._device

    def run(self, tasks: Sequence[Task], listener: Listener) -> None:
        device = self.device
        for worker in [w for w in self.workers if w.process.poll() is not None]:
            worker.stop()
            self.workers.remove(worker)
        busy = {w.core for w in self.workers}
        free = [core for core in _cores(self.how) if core not in busy]
        wanted = min(len(tasks), self.worker_count) - len(self.workers)
        self.workers += [self._start(core) for core in free[: max(wanted, 0)]]
        schedule = _Schedule(tasks, self.store, lambda task: members_that_fit(task, device, self.how))
        _drive(schedule, self.workers, self._start, self.events, listener)

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()

    def _start(self, core: int | None) -> _Worker:
        return _Worker(self.store, self.how, self.events, core)


@dataclass
class _Schedule:
    """Which tasks are next: of those whose parent is done, the one that starts the longest chain, and with it
    as many as `members` allows of those that can be members of its program."""

    tasks: Sequence[Task]
    store: Store
    members: Callable[[Task], int]
    alone: set[str] = field(default_factory=set)
    waiting: dict[str, list[Task]] = field(default_factory=dict)
    ready: list[Task] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.length = critical_path(self.tasks)
        pending = {task.segment.segment_id for task in self.tasks}
        for task in self.tasks:
            parent = task.segment.parent
            if parent in pending:
                self.waiting.setdefault(parent, []).append(task)
            else:
                self.ready.append(task)

    def take(self, compiled: set[ModelConfig]) -> list[Task]:
        """The next pack, empty if none is ready; given `compiled`, the models others are at, another's where
        possible, so that the first tasks of several workers don't compile the same programs side by side."""
        if not self.ready:
            return []
        best = max(
            self.ready,
            key=lambda t: (t.segment.recipe.model not in compiled, self.length[t.segment.segment_id]),
        )
        pack = [best]
        if best.segment.segment_id not in self.alone:
            alike = (t for t in self.ready if pack_key(t.segment) == pack_key(best.segment))
            fit = [t for t in alike if t is not best and t.segment.segment_id not in self.alone]
            pack = [best, *fit][: self.members(best)]
        for task in pack:
            self.ready.remove(task)
        return pack

    def separate(self, pack: list[Task]) -> None:
        """Puts a failed pack's tasks back: each is done alone, and fails for itself."""
        for task in pack:
            self.alone.add(task.segment.segment_id)
            self.ready.append(task)

    def finish(self, task: Task) -> None:
        """Frees the tasks that waited for this one, unless it left no checkpoint to go on from."""
        freed = self.waiting.pop(task.segment.segment_id, [])
        if self.store.has_checkpoint(task.segment.segment_id):
            self.ready.extend(freed)


class _Worker:
    """One process that does one pack of tasks at a time."""

    def __init__(self, store: Store, how: Execution, events: queue.Queue[Any], core: int | None) -> None:
        self.pack: list[Task] = []
        self.core = core
        self.model: ModelConfig | None = None
        with (store.path / "worker.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sweeps.worker", str(store.path), json.dumps(to_json(how))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(core, how),
                text=True,
                bufsize=1,
                start_new_session=True,
            )
        if core is not None and hasattr(os, "sched_setaffinity"):
            # Before the child has imported JAX, which sizes its thread pool by the cores it may use.
            os.sched_setaffinity(self.process.pid, {core})
        self.listening = threading.Thread(target=self._listen, args=(events,), daemon=True)
        self.listening.start()

    def give(self, pack: list[Task]) -> None:
        """Sends a pack."""
        self.pack, self.model = pack, pack[0].segment.recipe.model
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a dead process is reported by its closing stdout
            self.process.stdin.write(json.dumps([task_json(task) for task in pack]) + "\n")

    def stop(self) -> None:
        """Ends the process at once; what it had not filed is done again by the next run."""
        self.process.kill()
        self.process.wait()
        self.listening.join()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # of a task it was given and had not read
            self.process.stdin.close()

    def _listen(self, events: queue.Queue[Any]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            events.put((self, json.loads(line)))
        events.put((self, {"event": "exit"}))


def _drive(
    schedule: _Schedule,
    workers: list[_Worker],
    start: Callable[[int | None], _Worker],
    events: queue.Queue[Any],
    listener: Listener,
) -> None:
    """Gives the workers their tasks; one that dies at a task fails it and is replaced."""
    alive = set(workers)
    while True:
        for worker in [w for w in workers if w in alive and not w.pack]:
            others = {w.model for w in workers if w.model} if worker.model is None else set()
            if pack := schedule.take(others):
                worker.give(pack)
        if not any(w.pack for w in alive):
            return
        worker, event = events.get()
        pack = worker.pack
        if event["event"] == "exit" and worker in alive:
            alive.remove(worker)
            workers.remove(worker)
            worker.stop()
            if pack:
                code = worker.process.returncode
                _fail(schedule, pack, f"worker process ended with status {code} (see worker.log)", listener)
                workers.append(start(worker.core))
                alive.add(workers[-1])
        elif pack and event["event"] == "progress":
            for task, loss in zip(pack, event["losses"], strict=True):
                listener.progress(task, event["steps"], loss)
        elif pack and event["event"] in ("done", "failed"):
            worker.pack = []
            if event["event"] == "failed":
                _fail(schedule, pack, event["reason"], listener)
                continue
            for task in pack:
                listener.done(task)
                schedule.finish(task)


def _fail(schedule: _Schedule, pack: list[Task], reason: str, listener: Listener) -> None:
    if len(pack) > 1:
        schedule.separate(pack)
    else:
        listener.failed(pack[0], reason)


def _cores(how: Execution) -> Sequence[int | None]:
    """The core of each worker; None of one that takes the accelerators, or several virtual CPU devices."""
    if how.devices > 1 or _accelerated(how):
        return [None]
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _accelerated(how: Execution) -> bool:
    if how.platform != "auto":
        return how.platform != "cpu"
    return os.environ.get("JAX_PLATFORMS") != "cpu" and any(
        map(importlib.util.find_spec, ACCELERATOR_PLUGINS)
    )


def _environment(core: int | None, how: Execution) -> dict[str, str]:
    if _accelerated(how):
        return dict(os.environ)
    flags = f"{os.environ.get('XLA_FLAGS', '')} {CPU_XLA_FLAGS}".strip()
    if core is None:
        flags += f" --xla_force_host_platform_device_count={how.devices}"
    return os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
