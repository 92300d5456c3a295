"""A pool of workers: how they end, and when others take their place. No launcher itself."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from isoflop.base.durable import DiskFullError
from isoflop.base.errors import UserError
from isoflop.sweeps.queue.claims import Claims
from isoflop.sweeps.queue.heartbeats import HUNG
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions

GRACE_SECONDS = 60.0
"""A worker that was asked to leave is given so long to finish its stretch of steps and save."""

PAUSE_SECONDS = 2.0, 600.0
"""Pauses before workers that ended badly are replaced: the first, doubled each time, and the longest."""

MAX_EARLY_EXITS = 5
"""Times in a row that workers ended badly before any had claimed a task, after which no more are started."""

MAX_FRUITLESS_EXITS = 12
"""The same before any had filed a result or half of one: more than the deaths that give one task up."""


def last_line(log: Path) -> str:
    """The last line of a log, or of the newest log in a folder; empty where there is none."""
    try:
        if log.is_dir():
            logs = (path for path in log.iterdir() if path.suffix in (".log", ".out"))
            log = max(logs, key=lambda path: path.stat().st_mtime)
        lines = log.read_text(errors="replace").splitlines()
    except (OSError, ValueError):
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


class RestartBackoff:
    """Workers that end badly one after the other are replaced ever later, and at last no more.

    What they do in between starts the count anew. `logs`: the file or folder where they say why they ended.
    """

    def __init__(self, store: Store, logs: Path) -> None:
        self.store, self.logs = store, logs
        self.early_exits = self.fruitless_exits = 0
        self._paused_until = 0.0
        self._claims, self._filed = self._done()

    def record(self, failed: bool, alive: bool) -> None:
        """Take in whether workers have ended badly since the last call, and whether others live.

        Raises `UserError` with the reason where no worker gets anywhere.
        """
        first, most = PAUSE_SECONDS
        now = time.monotonic()
        if failed and now >= self._paused_until:  # those that end within the pause are of the same lot
            claims, filed = self._done()
            self.early_exits = self.early_exits + 1 if claims == self._claims else 1
            self.fruitless_exits = self.fruitless_exits + 1 if filed == self._filed else 1
            self._claims, self._filed = claims, filed
            self._paused_until = now + min(most, first * 2 ** (self.early_exits - 1))
        given_up = self.early_exits >= MAX_EARLY_EXITS or self.fruitless_exits >= MAX_FRUITLESS_EXITS
        if given_up and not alive:
            last = last_line(self.logs)
            why = f"; the last line there: {last}" if last else ""
            raise UserError(f"no worker can work: they end one after the other (see {self.logs}){why}")

    def may_start(self) -> bool:
        """Whether workers may be started now."""
        return time.monotonic() >= self._paused_until

    def _done(self) -> tuple[object, object]:
        """What workers have claimed, dead ones included, and what they have filed."""
        contents = self.store.contents()
        claims = {(claim.task, claim.epoch) for claim in Claims(self.store.path / "claims", "").standing()}
        filed = contents.segments, contents.diverged, contents.cells, contents.partial
        return (claims, contents), filed


class WorkerPool(ABC):
    """What launchers have in common: they forget the workers that ended, and start those that are wanted."""

    def __init__(self, store: Store, worker_options: WorkerOptions, logs: Path) -> None:
        self.store, self.worker_options = store, worker_options
        self.backoff = RestartBackoff(store, logs)
        self.workers: dict[Any, Any] = {}
        """Those that run or are queued, by the last `reap`."""

    @property
    @abstractmethod
    def worker_count(self) -> int:
        """How many workers run at the same time, at most."""

    @abstractmethod
    def reap(self) -> list[str]:
        """Forget the workers that have ended; return a line for each that ended badly."""

    @abstractmethod
    def start(self, count: int) -> list[str]:
        """Start so many workers; return what a person should know of it."""

    def scale(self, wanted: int) -> list[str]:
        """See to it that `wanted` workers run, as `Launcher.scale`."""
        lines = self.reap()
        self.backoff.record(failed=bool(lines), alive=bool(self.workers))
        missing = min(wanted, self.worker_count) - len(self.workers)
        if missing > 0 and self.backoff.may_start():
            lines += self.start(missing)
        return lines

    def exit_message(self, status: int) -> str:
        """What there is to say of a worker that ended with `status`, if not as it should; else nothing.

        Raises `UserError` where every other worker would end like it.
        """
        if status == child.FULL:
            raise DiskFullError(self.store.path)
        if status == child.REFUSED and (reason := self.store.last_refusal()):
            raise UserError(reason)
        if status == HUNG:
            limit = self.worker_options.hang_seconds
            return f"made no headway for {limit:.0f} s and was ended (--hang-seconds)"
        return "" if status in child.LEFT_BY else f"ended with status {status}"
