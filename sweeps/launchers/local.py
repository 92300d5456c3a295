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

from models import ModelConfig
from sweeps.execute import Task, task_json
from sweeps.launchers import Listener, critical_path
from sweeps.store import Store

ACCELERATOR_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "libtpu")

CPU_XLA_FLAGS = "--xla_backend_optimization_level=1"
"""Programs as fast as LLVM's highest level gives for these models, compiled in two thirds of the time."""


def open_launcher(store: Store) -> Local:
    """This machine's cores or accelerator, for the sweep in `store`."""
    return Local(store)


class Local:
    """Processes of this machine; each compiles a width's programs once for all its tasks."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.workers: list[_Worker] = []
        self.events: queue.Queue[tuple[_Worker, dict[str, Any]]] = queue.Queue()

    @property
    def worker_count(self) -> int:
        return len(_cores())

    def run(self, tasks: Sequence[Task], listener: Listener) -> None:
        for worker in [w for w in self.workers if w.process.poll() is not None]:
            worker.stop()
            self.workers.remove(worker)
        busy = {w.core for w in self.workers}
        free = [core for core in _cores() if core not in busy]
        wanted = min(len(tasks), self.worker_count) - len(self.workers)
        self.workers += [self._start(core) for core in free[: max(wanted, 0)]]
        _drive(_Schedule(tasks, self.store), self.workers, self._start, self.events, listener)

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()

    def _start(self, core: int | None) -> _Worker:
        return _Worker(self.store, self.events, core)


@dataclass
class _Schedule:
    """Which task is next: of those whose parent is done, the one that starts the longest chain."""

    tasks: Sequence[Task]
    store: Store
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

    def take(self, compiled: set[ModelConfig]) -> Task | None:
        """The next task, if one is ready; given `compiled`, the models others are at, another where possible.

        So the first tasks of several workers don't compile the same programs side by side.
        """
        if not self.ready:
            return None
        best = max(
            self.ready,
            key=lambda t: (t.segment.recipe.model not in compiled, self.length[t.segment.segment_id]),
        )
        self.ready.remove(best)
        return best

    def finish(self, task: Task) -> None:
        """Frees the tasks that waited for this one, unless it left no checkpoint to go on from."""
        freed = self.waiting.pop(task.segment.segment_id, [])
        if self.store.has_checkpoint(task.segment.segment_id):
            self.ready.extend(freed)


class _Worker:
    """One process that does one task at a time."""

    def __init__(self, store: Store, events: queue.Queue[Any], core: int | None) -> None:
        self.task: Task | None = None
        self.core = core
        self.model: ModelConfig | None = None
        with (store.path / "worker.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sweeps.worker", str(store.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(core),
                text=True,
                bufsize=1,
                start_new_session=True,
            )
        if core is not None and hasattr(os, "sched_setaffinity"):
            # Before the child has imported JAX, which sizes its thread pool by the cores it may use.
            os.sched_setaffinity(self.process.pid, {core})
        self.listening = threading.Thread(target=self._listen, args=(events,), daemon=True)
        self.listening.start()

    def give(self, task: Task) -> None:
        """Sends a task."""
        self.task, self.model = task, task.segment.recipe.model
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a dead process is reported by its closing stdout
            self.process.stdin.write(json.dumps(task_json(task)) + "\n")

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
        for worker in [w for w in workers if w in alive and w.task is None]:
            others = {w.model for w in workers if w.model} if worker.model is None else set()
            if task := schedule.take(others):
                worker.give(task)
        busy = [w for w in alive if w.task]
        if not busy:
            return
        worker, event = events.get()
        task = worker.task
        if event["event"] == "exit" and worker in alive:
            alive.remove(worker)
            workers.remove(worker)
            worker.stop()
            if task:
                code = worker.process.returncode
                listener.failed(task, f"worker process ended with status {code} (see worker.log)")
                workers.append(start(worker.core))
                alive.add(workers[-1])
        elif task and event["event"] == "progress":
            listener.progress(task, event["steps"], event["loss"])
        elif task and event["event"] in ("done", "failed"):
            worker.task = None
            if event["event"] == "failed":
                listener.failed(task, event["reason"])
            else:
                listener.done(task)
                schedule.finish(task)


def _cores() -> Sequence[int | None]:
    if os.environ.get("JAX_PLATFORMS") != "cpu" and any(map(importlib.util.find_spec, ACCELERATOR_PLUGINS)):
        return [None]
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _environment(core: int | None) -> dict[str, str]:
    if core is None:
        return dict(os.environ)
    flags = f"{os.environ.get('XLA_FLAGS', '')} {CPU_XLA_FLAGS}".strip()
    return os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
