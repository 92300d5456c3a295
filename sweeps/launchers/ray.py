"""Ray: workers as actors, on a cluster that is there or on one of this machine alone."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoflop.base.errors import UserError
from isoflop.sweeps.launchers.options import read_options
from isoflop.sweeps.launchers.pool import GRACE_SECONDS, WorkerPool
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution

POLL_SECONDS = 0.2
"""Pause between two looks of an actor at its worker."""

ANSWER_SECONDS = 10.0
"""What a cluster that was named may take to answer."""


@dataclass(frozen=True)
class RayOptions:
    """What a worker asks of the cluster."""

    address: str = ""
    """The cluster's; by default RAY_ADDRESS, or the one that this machine is in, or a new one of it alone;
    local: a new one."""
    workers: int = 0
    """Workers at the same time, at most; by default as many as the nodes have room for."""
    cpus: int = 0
    """Cores of a worker; by default one a device on CPUs and four a GPU."""
    gpus: int = -1
    """GPUs of a worker; by default one a device, and none for a platform without."""
    resources: dict[str, str] = field(default_factory=dict)
    """Further resources by name, as Ray counts them."""


def refuse_missing(execution: Execution) -> None:
    """Raises `UserError` where Ray is not installed, and for a cell on several nodes."""
    if execution.nodes > 1:
        raise UserError(f"nodes {execution.nodes}: on Ray a worker has one: take --launcher slurm")
    try:
        import ray  # noqa: F401  # pyright: ignore[reportUnusedImport]  # only whether it is there
    except ImportError as error:
        raise UserError("the launcher ray needs Ray: pip install 'isoflop[ray]'") from error


def open_launcher(store: Store, worker_options: WorkerOptions, options: str = "") -> RayLauncher:
    """Joins the cluster, for the sweep in `store`.

    Raises `UserError` where Ray is not installed, the cluster doesn't answer, or no worker fits any node.
    """
    settings = read_options(RayOptions, "ray", options)
    refuse_missing(worker_options.execution)
    import ray

    ours = not ray.is_initialized()
    if ours:
        _join(settings.address)
    launcher = RayLauncher(store, worker_options, settings, ours)
    if launcher.worker_count < 1:
        launcher.close()
        raise UserError(
            f"no node of the Ray cluster has room for a worker ({launcher.need}): lower --devices"
        )
    return launcher


class RayLauncher(WorkerPool):
    """An actor for each worker. `ours`: whether this process joined the cluster for it."""

    def __init__(self, store: Store, worker_options: WorkerOptions, settings: RayOptions, ours: bool) -> None:
        self.logs = store.path.resolve() / "ray"
        super().__init__(store, worker_options, self.logs)
        self.settings, self.ours = settings, ours
        cores, gpus = child.cores_and_gpus(worker_options.execution, settings.cpus, settings.gpus)
        further = {name: float(amount) for name, amount in settings.resources.items()}
        self.need = {name: n for name, n in {"CPU": cores, "GPU": gpus, **further}.items() if n}
        # `workers`: actor by the reference of its `run`, which is ready once the worker has ended.
        self.placed: dict[Any, Any] = {}
        """The reference of an actor's `placed`, ready once it runs on a node, by that of its `run`."""

    @property
    def worker_count(self) -> int:
        if self.settings.workers:
            return self.settings.workers
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(min(int(node.get(name, 0) // n) for name, n in self.need.items()) for node in nodes)

    @property
    def waiting(self) -> str:
        import ray

        if not self.placed or ray.wait(list(self.placed.values()), timeout=0.0)[0]:
            return ""
        need = ", ".join(f"{name} {amount:g}" for name, amount in self.need.items())
        return f"{len(self.placed)} workers wait for room on the Ray cluster ({need} each)"

    def reap(self) -> list[str]:
        import ray
        from ray.exceptions import RayError

        lines = []
        for run in self._ended(0.0):
            del self.workers[run], self.placed[run]
            try:
                log, status = ray.get(run)
            except RayError as error:  # its node or its actor is gone
                lines.append(f"a worker is lost: {' '.join(str(error).split())}")
                continue
            if why := self.exit_message(status):
                lines.append(f"the worker of {log} {why}")
        return lines

    def start(self, count: int) -> list[str]:
        import ray

        self.logs.mkdir(exist_ok=True)
        # An actor whose coordinator dies is killed, and would take its child with it before that can save.
        variables = {"RAY_kill_child_processes_on_worker_exit": "0"}
        if path := os.environ.get("PYTHONPATH"):
            variables["PYTHONPATH"] = path
        options: dict[str, Any] = {
            "num_cpus": self.need.get("CPU", 0),
            "num_gpus": self.need.get("GPU", 0),
            "resources": {name: n for name, n in self.need.items() if name not in ("CPU", "GPU")},
            "max_concurrency": 3,  # it answers, and can be asked to leave, while it waits for the worker
            "runtime_env": {"env_vars": variables},
        }
        actor_class: Any = ray.remote(**options)(WorkerActor)
        for _ in range(count):
            actor = actor_class.remote(self.store.path.resolve(), self.worker_options, self.logs)
            run = actor.run.remote()
            self.workers[run], self.placed[run] = actor, actor.placed.remote()
        return []

    def close(self) -> None:
        import ray

        for run in [run for run, placed in self.placed.items() if not ray.wait([placed], timeout=0.0)[0]]:
            ray.kill(self.workers.pop(run))  # one that has no place yet has nothing to save
        with contextlib.suppress(KeyboardInterrupt):  # a second one: at once, and nothing else is lost
            for actor in self.workers.values():
                actor.leave.remote()
            self._ended(GRACE_SECONDS + 10.0)
        for actor in self.workers.values():
            ray.kill(actor)
        self.workers.clear()
        self.placed.clear()
        if self.ours:
            ray.shutdown()

    def _ended(self, seconds: float) -> list[Any]:
        """The runs that have ended, once all have or `seconds` are over."""
        import ray

        runs = list(self.workers)
        return ray.wait(runs, num_returns=len(runs), timeout=seconds)[0] if runs else []


class WorkerActor:
    """The actor: has a worker as its child on its node. The worker leaves when the actor is gone."""

    def __init__(self, folder: Path, worker_options: WorkerOptions, logs: Path) -> None:
        self.folder, self.worker_options = folder, worker_options
        self.log = logs / f"{os.uname().nodename}-{os.getpid()}-{int(time.time())}.log"
        self.leaving = threading.Event()

    def run(self) -> tuple[Path, int]:
        """The worker's log and its exit status, once it has ended."""
        with self.log.open("w") as log:
            process = child.start(self.folder, self.worker_options, log=log)
        while process.poll() is None:
            if self.leaving.wait(POLL_SECONDS):
                child.leave(process, GRACE_SECONDS)
        return self.log, process.returncode

    def placed(self) -> None:
        """Answers as soon as the actor has its place on a node."""

    def leave(self) -> None:
        """Asks the worker to save and leave."""
        self.leaving.set()


def _join(address: str) -> None:
    """A cluster that was named or is found; else one of this machine alone, which ends with this process."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    named = address or os.environ.get("RAY_ADDRESS", "")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if named not in ("", "auto", "local"):
        _refuse_silent(named)  # Ray would try for minutes
    try:
        ray.init(address=named or "auto", **quiet)
    except ConnectionError as error:
        if named:
            raise UserError(f"no Ray cluster at {named}: check RAY_ADDRESS, or start it") from error
        ray.init(address="local", **quiet)


def _refuse_silent(address: str) -> None:
    """Raises `UserError` if nothing listens at HOST:PORT or ray://HOST:PORT."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(f"no Ray cluster at {address} ({error}): check RAY_ADDRESS, or start it") from error
