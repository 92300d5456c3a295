"""Heartbeats: while it makes headway each process rewrites `NAME.json` in its kind's folder, and others
watch: workers in `workers/`, those who hand them the work in `coordinators/`.

No clock of one machine is compared with another's: a worker is silent if its watcher's own monotonic clock
has run for the lease while the file stayed the same.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from isoflop.base.durable import list_names, write
from isoflop.base.json_values import from_json, to_json
from isoflop.sweeps.queue.process_identity import ProcessIdentity

HEARTBEATS_PER_LEASE = 12

STARTING, IDLE, TRAINING = "starting", "idle", "training"
"""States of a worker; one that starts imports what it needs and looks for its devices."""

HUNG = 75
"""Exit status of a worker that made no headway for too long."""


@dataclass(frozen=True)
class TaskProgress:
    """How far a worker is with a segment: `steps` done of it, and its latest training loss."""

    segment: str
    steps: int = 0
    loss: float | None = None


@dataclass(frozen=True)
class Heartbeat:
    """A sign of life; `count` rises. `state`, `device` and `tasks`: a worker's, empty of a coordinator."""

    process: ProcessIdentity
    count: int = 0
    state: str = ""
    device: str = ""
    tasks: tuple[TaskProgress, ...] = ()


class HeartbeatWriter:
    """This process' heartbeat, kept up by a thread from `start` to `stop`.

    The thread writes only while `update` is called at least every `hang_seconds`; a process that hangs
    longer is ended, so that its tasks go to others.
    """

    def __init__(
        self,
        folder: Path,
        process: ProcessIdentity,
        seconds: float,
        hang_seconds: float = math.inf,
        state: str = "",
    ) -> None:
        self.folder, self.file = folder, folder / f"{process.name}.json"
        self.seconds, self.hang_seconds = seconds, hang_seconds
        self.heartbeat = Heartbeat(process, state=state)
        self._count = 0
        self._updated = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Write a first heartbeat, and more from then on."""
        self.folder.mkdir(exist_ok=True)
        self._write()
        self._thread.start()

    def update(self, state: str, tasks: Iterable[TaskProgress] = (), device: str = "") -> None:
        """Note that the process makes headway, and its state, for the next heartbeat to say."""
        self._updated = time.monotonic()
        # One assignment of a frozen value: the thread that writes sees the old one or the new, no mixture.
        self.heartbeat = replace(
            self.heartbeat, state=state, tasks=tuple(tasks), device=device or self.heartbeat.device
        )

    def stop(self) -> None:
        """End the heartbeat, and remove its file."""
        self._stop.set()
        self._thread.join()
        self.file.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stop.wait(self.seconds):
            # The main thread may hang inside a driver, where no exception reaches it: the process is ended.
            if time.monotonic() - self._updated > self.hang_seconds:
                os._exit(HUNG)
            with contextlib.suppress(OSError):  # a full disk, a server that is away: the next one may do
                self._write()

    def _write(self) -> None:
        self._count += 1  # not the heartbeat's own, which `update` replaces from another thread
        # Not flushed to the disk: after a power cut no process is left whose heartbeat would matter.
        write(self.file, json.dumps(to_json(replace(self.heartbeat, count=self._count))), flush=False)


class HeartbeatMonitor:
    """The processes that are dead or silent. `lease`: seconds of silence on this process' monotonic clock."""

    def __init__(self, folder: Path, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.lease, self.clock = folder, lease, clock
        self._last: dict[str, tuple[int, float]] = {}
        """Name -> its last count, and when it was first seen."""

    def names(self) -> set[str]:
        """Return the names of all processes that have a heartbeat."""
        return {name.removesuffix(".json") for name in list_names(self.folder)}

    def forget(self, name: str) -> None:
        """Remove the heartbeat of a process that is gone."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)

    def gone(self, names: Iterable[str]) -> set[str]:
        """Those that are dead for certain, or silent since a call of this one that is a lease ago."""
        return {name for name in set(names) if self._is_gone(name)}

    def _is_gone(self, name: str) -> bool:
        heartbeat = read_heartbeat(self.folder / f"{name}.json")
        count = heartbeat.count if heartbeat else 0
        # Any other count is a sign of life; where there is no file, the lease runs from the first look on.
        if name not in self._last or self._last[name][0] != count:
            self._last[name] = count, self.clock()
        is_dead = heartbeat is not None and heartbeat.process.is_dead()
        return is_dead or self.clock() - self._last[name][1] > self.lease


def read_heartbeat(file: Path) -> Heartbeat | None:
    """A process' last heartbeat; None where there is none that can be read."""
    try:
        return from_json(Heartbeat, json.loads(file.read_text()))
    except (OSError, ValueError):
        return None


def read_heartbeats(folder: Path) -> list[Heartbeat]:
    """The last heartbeats of the processes in a folder that neither left nor are dead for certain."""
    heartbeats = (read_heartbeat(folder / name) for name in sorted(list_names(folder)))
    return [found for found in heartbeats if found is not None and not found.process.is_dead()]
