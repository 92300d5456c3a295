"""Whether a stage gets anywhere: one under which nothing is done ends, with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from isoflop.sweeps.launchers import Launcher, Queueing
from isoflop.sweeps.queue.heartbeats import STARTING

if TYPE_CHECKING:
    from isoflop.sweeps.stage import View

STALL_SECONDS = 45.0
"""How long nothing may be done: nothing filed, no worker at any task, none queued."""

START_SECONDS = 300.0
"""What a worker may take to import JAX and to find its devices."""

LONGEST_LOOK = 30.0
"""Between two looks no more time counts: all that works on the folder may have been frozen together."""

QUEUE_SECONDS = 30.0, 600.0
"""When it is first said that workers are queued, and how often after that."""


class StallMonitor:
    """Looks at a stage, again and again. `lease_seconds`: of silence, after which a claim goes to another."""

    def __init__(
        self, launcher: Launcher, lease_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.launcher, self.lease_seconds, self.clock = launcher, lease_seconds, clock
        self._last = clock()
        self._now = 0.0
        self._since = self._worked = 0.0
        self._filed: object = None
        self._beats: dict[str, int] = {}
        self._starts: dict[str, float] = {}
        self._queued: float | None = None
        self._next_word = 0.0

    def waiting(self) -> str:
        """What the workers wait for, when it is time to say so; else nothing."""
        queued = self.launcher.waiting if isinstance(self.launcher, Queueing) else ""
        if not queued:
            self._queued = None
            return ""
        self._since = self._worked = self._now
        if self._queued is None:
            self._queued, self._next_word = self._now, self._now + QUEUE_SECONDS[0]
        if self._now < self._next_word:
            return ""
        self._next_word = self._now + QUEUE_SECONDS[1]
        return f"waiting since {(self._now - self._queued) / 60:.0f} min: {queued}"

    def stalled(self, view: View) -> str:
        """Why the stage gets nowhere; empty while it does, or still may."""
        clock = self.clock()
        self._now += min(clock - self._last, LONGEST_LOOK)
        self._last = clock
        if view.contents != self._filed:
            self._filed, self._since, self._worked = view.contents, self._now, self._now
        self._hear(view)
        held = [claim for claim in view.claims if claim.task in view.missing]
        silence = self._now - self._since
        # A claim goes from a silent worker to another after the lease, and a look.
        if silence <= max(STALL_SECONDS, self.lease_seconds + STALL_SECONDS / 2 if held else 0.0):
            return ""
        return f"nothing was done for {silence:.0f} s: {self._why(view)}"

    def _hear(self, view: View) -> None:
        """Takes in the workers that were heard of since the last look: those at a task, or about to be."""
        for beat in view.beats:
            name = beat.who.name
            first = self._starts.setdefault(name, self._now)
            if self._beats.get(name) == beat.count:
                continue
            self._beats[name] = beat.count
            if beat.facts.get("tasks"):
                self._since = self._worked = self._now
            # One that came soon after something was done may take its time to start. One that comes later
            # comes in the place of others that never got anywhere.
            in_time = first - self._worked <= STALL_SECONDS / 2 and self._now - first <= START_SECONDS
            if beat.facts.get("state") == STARTING and in_time:
                self._since = self._now

    def _why(self, view: View) -> str:
        segments = view.board.tree.segments
        ready = view.board.ready(view.missing, view.contents)
        free = [name for name in ready if name not in view.claimed]
        held = [claim for claim in view.claims if claim.task in view.missing]
        if held:
            claim = held[0]
            width = segments[claim.task].recipe.model.width
            return f"{claim.worker} holds width {width} and is silent: end that process, and run it again"
        if not ready:
            return f"none of the {len(view.missing)} segments that are missing can be begun"
        width = segments[free[0]].recipe.model.width
        work = f"{len(free)} tasks wait, width {width} first, and"
        if view.beats:
            return f"{work} {len(view.beats)} workers that are there take none"
        return f"{work} no worker is at work"
