"""Who keeps workers alive, and where: a file here that defines `open_launcher` is a launcher.

A launcher knows nothing of tasks: its workers (`isoflop.sweeps.workers.child.start`) take them from the
folder of the store, which is a sweep's, or that of a measurement's table (`isoflop.sweeps.evaluate`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from isoflop.base import plugins
from isoflop.base.errors import UserError
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution


class Launcher(Protocol):
    """Workers of one sweep's folder."""

    @property
    def worker_count(self) -> int:
        """How many workers run at the same time, at most."""
        ...

    def scale(self, wanted: int) -> list[str]:
        """See to it that `wanted` workers, or `worker_count` if that is less, run or are queued.

        It never waits long. Return a line for each worker that ended badly since the last call. Raises
        `UserError` where none can be had.
        """
        ...

    def close(self) -> None:
        """Ask the workers to save and leave, and wait for a bounded time."""
        ...


@runtime_checkable
class Queueing(Protocol):
    """What a launcher has besides if its workers may have to wait for a machine."""

    @property
    def waiting(self) -> str:
        """What all workers wait for, such as "4 workers are queued"; empty while any of them runs.

        A sweep whose launcher says so is not taken to be stalled.
        """
        ...


OpenLauncher = Callable[[Store, WorkerOptions], Launcher]


def refuse_missing(name: str, execution: Execution) -> None:
    """Raises `UserError` if the launcher lacks what it needs, as far as that shows before anything is begun.

    A launcher's file says so by a function `refuse_missing(execution)`, if it has one.
    """
    plugin = plugins.load("isoflop.sweeps.launchers", "open_launcher", name, "launcher")
    if hasattr(plugin, "refuse_missing"):
        plugin.refuse_missing(execution)


def load_launcher(name: str, options: str = "") -> OpenLauncher:
    """What opens the launcher of that name for a sweep's folder and its workers' options.

    `options`: its settings, as `isoflop.sweeps.launchers.options` reads them. Raises `UserError`
    with the known names for an unknown one, and for options of a launcher that has none.
    """
    opened = plugins.load("isoflop.sweeps.launchers", "open_launcher", name, "launcher").open_launcher
    if not options:
        return opened
    if "options" not in inspect.signature(opened).parameters:
        raise UserError(f"the launcher {name} has no options: drop --launcher-options {options}")
    return functools.partial(opened, options=options)
