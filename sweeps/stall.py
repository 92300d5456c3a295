"""Whether a stage gets anywhere: one under which nothing is done ends, with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from isoflop.sweeps.launchers import Launcher, Queueing
from isoflop.sweeps.queue.heartbeats import STARTING

if TYPE_CHECKING:
    from isoflop.sweeps.stage import Snapshot

STALL_SECONDS = 45.0
"""How long nothing may be done: nothing filed, no worker at any task, none queued."""

START_SECONDS = 300.0
"""What a worker may take to import JAX and to find its devices."""

MAX_POLL_SECONDS = 30.0
"""The most time that counts between two snapshots: all processes may have been frozen together."""

QUEUE_NOTICE_SECONDS = 30.0, 600.0
"""When it is first said that workers are queued, and how often after that."""


class StallMonitor:
    """Judges one snapshot of a stage after the other.

    `lease_seconds`: of silence, after which a claim goes to another worker.
    """

    def __init__(
        self, launcher: Launcher, lease_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.launcher, self.lease_seconds, self.clock = launcher, lease_seconds, clock
        self._last_clock = clock()
        self._now = 0.0
        self._quiet_since = self._worked = 0.0
        """When there was last a reason to wait, and when work was last seen."""
        self._contents: object = None
        self._counts: dict[str, int] = {}
        self._starts: dict[str, float] = {}
        self._queued_since: float | None = None
        self._next_notice = 0.0

    def queue_notice(self) -> str:
        """What the workers wait for, when it is time to say so; else nothing."""
        queued = self.launcher.waiting if isinstance(self.launcher, Queueing) else ""
        if not queued:
            self._queued_since = None
            return ""
        self._quiet_since = self._worked = self._now
        if self._queued_since is None:
            self._queued_since, self._next_notice = self._now, self._now + QUEUE_NOTICE_SECONDS[0]
        if self._now < self._next_notice:
            return ""
        self._next_notice = self._now + QUEUE_NOTICE_SECONDS[1]
        return f"waiting since {(self._now - self._queued_since) / 60:.0f} min: {queued}"

    def reason(self, snapshot: Snapshot[Any]) -> str:
        """Why the stage gets nowhere; empty while it does, or still may."""
        clock = self.clock()
        self._now += min(clock - self._last_clock, MAX_POLL_SECONDS)
        self._last_clock = clock
        if snapshot.contents != self._contents:
            self._contents = snapshot.contents
            self._quiet_since = self._worked = self._now
        self._note_heartbeats(snapshot)
        silence = self._now - self._quiet_since
        # A claim goes from a silent worker to another after the lease, and a look.
        limit = self.lease_seconds + STALL_SECONDS / 2 if snapshot.held() else 0.0
        if silence <= max(STALL_SECONDS, limit):
            return ""
        return f"nothing was done for {silence:.0f} s: {_why(snapshot)}"

    def _note_heartbeats(self, snapshot: Snapshot[Any]) -> None:
        """Take in the heartbeats since the last snapshot of workers that have a task, or are about to."""
        for heartbeat in snapshot.heartbeats:
            name = heartbeat.process.name
            first = self._starts.setdefault(name, self._now)
            if self._counts.get(name) == heartbeat.count:
                continue
            self._counts[name] = heartbeat.count
            if heartbeat.tasks:
                self._quiet_since = self._worked = self._now
            # One that came soon after something was done may take its time to start. One that comes later
            # comes in the place of others that never got anywhere.
            in_time = first - self._worked <= STALL_SECONDS / 2 and self._now - first <= START_SECONDS
            if heartbeat.state == STARTING and in_time:
                self._quiet_since = self._now


def _why(snapshot: Snapshot[Any]) -> str:
    recipes, ready = snapshot.board.recipes, snapshot.ready()
    for claim in snapshot.held():
        width = recipes[claim.task].model.width
        return f"{claim.worker} holds width {width} and is silent: end that process, and run it again"
    if not ready:
        return f"none of the {len(snapshot.missing)} tasks that are missing can be begun"
    width = recipes[ready[0]].model.width
    work = f"{len(ready)} tasks wait, width {width} first, and"
    if snapshot.heartbeats:
        return f"{work} {len(snapshot.heartbeats)} workers that are there take none"
    return f"{work} no worker is at work"
