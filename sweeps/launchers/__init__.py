"""Who keeps workers alive, and where: a file here that defines `open_launcher` is a launcher.

A launcher knows nothing of tasks: its workers (`python -m sweeps.worker`) take them from the sweep's folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from models import plugins
from sweeps.store import Store
from train.execution import Execution


class Launcher(Protocol):
    """Workers of one sweep's folder."""

    @property
    def worker_count(self) -> int:
        """How many workers run at the same time, at most."""
        ...

    def keep(self, wanted: int) -> list[str]:
        """Sees to it that `wanted` workers, or `worker_count` if that is less, run or are queued.

        It never waits long. Returns a line for each worker that ended badly since the last call. Raises
        `UserError` where none can be had.
        """
        ...

    def close(self) -> None:
        """Asks the workers to save and leave, and waits for a bounded time."""
        ...


OpenLauncher = Callable[[Store, Execution], Launcher]


def load_launcher(name: str) -> OpenLauncher:
    """What opens the launcher of that name for a sweep's folder and the way its cells are computed.

    Raises `UserError` with the known names for an unknown one.
    """
    return plugins.load("sweeps.launchers", "open_launcher", name, "launcher").open_launcher
