"""Where tasks run: a file here that defines `open_launcher` is a launcher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from models import plugins
from sweeps.execute import Task
from sweeps.store import Store
from train.device import Device
from train.execution import Execution


class Listener(Protocol):
    """Hears what becomes of each task, in the launching process."""

    def progress(self, task: Task, steps: int, loss: float) -> None:
        """`steps` of the task's segment are done; `loss` is the latest training loss."""

    def done(self, task: Task) -> None:
        """The task's results are filed."""

    def failed(self, task: Task, reason: str) -> None:
        """The task could not be done; neither will be those that wait for it."""


class Launcher(Protocol):
    """Runs tasks of one sweep's folder; its workers live from the first `run` to `close`."""

    @property
    def worker_count(self) -> int:
        """How many workers run at the same time."""
        ...

    @property
    def device(self) -> Device:
        """What a worker trains on. Raises `UserError` where it isn't what was asked for."""
        ...

    def run(self, tasks: Sequence[Task], listener: Listener) -> None:
        """Does every task after its segment's parent; returns when none can be done any more."""
        ...

    def close(self) -> None:
        """Ends the workers."""
        ...


OpenLauncher = Callable[[Store, Execution], Launcher]


def load_launcher(name: str) -> OpenLauncher:
    """What opens the launcher of that name for a sweep's folder and the way its cells are computed.

    Raises `UserError` with the known names for an unknown one.
    """
    return plugins.load("sweeps.launchers", "open_launcher", name, "launcher").open_launcher


def critical_path(tasks: Sequence[Task]) -> dict[str, int]:
    """Segment id -> FLOPs of the longest chain of tasks from it on, itself included.

    Tasks that start long chains go first: the last to finish is then as early as it can be.
    """
    length: dict[str, int] = {}
    after: dict[str, int] = {}
    for task in reversed(tasks):  # children stand after their parents
        segment = task.segment
        length[segment.segment_id] = segment.flops + after.get(segment.segment_id, 0)
        if segment.parent:
            after[segment.parent] = max(after.get(segment.parent, 0), length[segment.segment_id])
    return length
