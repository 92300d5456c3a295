"""Signs of life: while it makes headway each process rewrites `NAME.json` in its kind's folder, and others
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.base.durable import write
from isoflop.base.json_values import from_json, to_json
from isoflop.sweeps.queue.process_identity import ProcessIdentity

HEARTBEATS_PER_LEASE = 12

STARTING = "starting"
"""State of a worker that imports what it needs and looks for its devices."""

HUNG = 75
"""Exit status of a worker that made no headway for too long."""


@dataclass(frozen=True)
class Heartbeat:
    """What a worker last said. `facts`: its state, device, tasks and their progress; `count` rises."""

    who: ProcessIdentity
    count: int
    facts: dict[str, Any]


class HeartbeatWriter:
    """This process' beat, kept by a thread from `start` to `stop`.

    The thread beats only while `headway` is called at least every `hang_seconds`; a process that hangs
    longer is ended, so that its tasks go to others.
    """

    def __init__(
        self, folder: Path, who: ProcessIdentity, seconds: float, hang_seconds: float = math.inf
    ) -> None:
        self.folder, self.file = folder, folder / f"{who.name}.json"
        self.who, self.seconds, self.hang_seconds = who, seconds, hang_seconds
        self.facts: dict[str, Any] = {}
        self._count = 0
        self._moved = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        """Beats once, and from then on."""
        self.folder.mkdir(exist_ok=True)
        self._write()
        self._thread.start()

    def headway(self, **facts: Any) -> None:
        """Says that the process is not stuck, and what is new; told with the next beat."""
        self._moved = time.monotonic()
        self.facts = self.facts | facts

    def stop(self) -> None:
        """The last beat: the file goes."""
        self._stop.set()
        self._thread.join()
        self.file.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(self.seconds):
            if time.monotonic() - self._moved > self.hang_seconds:
                os._exit(HUNG)
            with contextlib.suppress(OSError):  # a full disk, a server that is away: the next one may do
                self._write()

    def _write(self) -> None:
        self._count += 1
        write(self.file, json.dumps(to_json(Heartbeat(self.who, self._count, self.facts))), flush=False)


class HeartbeatMonitor:
    """Tells silent workers from busy ones. `lease`: seconds of silence, on this process' monotonic clock."""

    def __init__(self, folder: Path, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.lease, self.clock = folder, lease, clock
        self._last: dict[str, tuple[Heartbeat | None, float]] = {}

    def gone(self, names: Iterable[str]) -> set[str]:
        """Those that are dead for certain, or silent since a call of this one that is a lease ago."""
        return {name for name in set(names) if self._is_gone(name)}

    def _is_gone(self, name: str) -> bool:
        beat = read_heartbeat(self.folder / f"{name}.json")
        last, since = self._last.get(name, (None, None))
        if since is None or beat != last:
            since = self.clock()
            self._last[name] = beat, since
        return (beat is not None and beat.who.is_dead()) or self.clock() - since > self.lease


def read_heartbeat(file: Path) -> Heartbeat | None:
    """A worker's last beat; None where there is none that can be read."""
    try:
        return from_json(Heartbeat, json.loads(file.read_text()))
    except (OSError, ValueError):
        return None


def read_heartbeats(folder: Path) -> list[Heartbeat]:
    """The last beats of all processes that have not said goodbye."""
    beats = (read_heartbeat(file) for file in sorted(folder.glob("[!.]*.json")))
    return [beat for beat in beats if beat is not None]
