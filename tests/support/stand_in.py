"""A sweep's folder whose workers are `tests.support.stand_in_worker`, on whatever launcher."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from isoflop.base.json_values import to_json
from isoflop.sweeps.launchers.ray import WorkerActor
from isoflop.sweeps.launchers.slurm import WorkerJob
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions


class StandIn:
    """Instructs the workers of a folder, and reads the events that they record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instruct()

    def instruct(self, **instructions: Any) -> None:
        """What workers that start from now on shall do."""
        (self.folder / "instructions.json").write_text(json.dumps(instructions))

    def events(self, event: str) -> list[dict[str, Any]]:
        """The events that the workers have recorded so far."""
        path = self.folder / "events.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["event"] == event]

    def await_events(self, event: str, count: int) -> list[dict[str, Any]]:
        """The same, once there are so many."""
        wait_until(lambda: len(self.events(event)) >= count)
        assert len(self.events(event)) == count
        return self.events(event)


class StandInJob(WorkerJob):
    """Starts the stand-in in the place of the worker."""

    def __call__(self) -> None:
        with mock.patch.object(child, "command", command):
            super().__call__()


class StandInActor(WorkerActor):
    """The same on Ray."""

    def run(self) -> tuple[Path, int]:
        with mock.patch.object(child, "command", command):
            return super().run()


def command(folder: Path, options: WorkerOptions) -> list[str]:
    """What starts it."""
    return [sys.executable, "-m", "tests.support.stand_in_worker", str(folder), json.dumps(to_json(options))]


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Returns once `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
