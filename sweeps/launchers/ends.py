"""How workers end, and when others take their place. No launcher itself."""

from __future__ import annotations

import time

from isoflop.base.errors import UserError
from isoflop.sweeps.beats import HUNG
from isoflop.sweeps.launchers import child
from isoflop.sweeps.store import Store
from isoflop.train.execution import Execution

PAUSE_SECONDS = 10.0, 600.0
"""Before a worker that ended badly is replaced: at first, and at most; doubled with each further one."""

STILLBORN = 5
"""Looks in a row that found workers ended badly, and none that does well, after which no more are started."""


def epitaph(status: int, store: Store, how: Execution) -> str:
    """What there is to say of a worker that ended with `status`, if not as it should; else nothing.

    Raises `UserError` where every other worker would end like it.
    """
    from isoflop.sweeps.worker import (  # with JAX, which who only keeps workers needs not
        FULL,
        REFUSED,
        DiskFull,
    )

    if status == FULL:
        raise DiskFull(store.path)
    if status == REFUSED and (reason := store.last_refusal()):
        raise UserError(reason)
    if status == HUNG:
        return f"made no headway for {how.hang_seconds:.0f} s and was ended"
    return "" if status in child.LEFT_BY else f"ended with status {status}"


class Patience:
    """Workers that end badly one after the other are replaced ever later. `logs`: where they say why."""

    def __init__(self, logs: str) -> None:
        self.logs = logs
        self.failures, self.until = 0, 0.0

    def hear(self, failed: bool, alive: bool) -> None:
        """Of a look: whether workers ended badly, and whether others live. `RuntimeError` if all fail."""
        now = time.monotonic()
        first, most = PAUSE_SECONDS
        if failed:
            self.until = now + min(most, first * 2**self.failures)
            self.failures += 1
        elif alive and now > self.until + most:
            self.failures = 0
        if self.failures >= STILLBORN and not alive:
            raise RuntimeError(f"no worker can start (see {self.logs})")

    def is_over(self) -> bool:
        """Whether workers may be started now."""
        return time.monotonic() >= self.until
