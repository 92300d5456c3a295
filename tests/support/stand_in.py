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
from isoflop.sweeps.launchers.ray import Keeper
from isoflop.sweeps.launchers.slurm import Pilot
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions


class StandIn:
    """Gives orders to the workers of a folder, and hears of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.order()

    def order(self, **orders: Any) -> None:
        """What workers that start from now on shall do."""
        (self.folder / "orders.json").write_text(json.dumps(orders))

    def told(self, event: str) -> list[dict[str, Any]]:
        """What the workers have told so far."""
        path = self.folder / "told.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["event"] == event]

    def await_told(self, event: str, count: int) -> list[dict[str, Any]]:
        """The same, once there are so many."""
        wait_until(lambda: len(self.told(event)) >= count)
        assert len(self.told(event)) == count
        return self.told(event)


class StandInPilot(Pilot):
    """Starts the stand-in in the place of the worker."""

    def __call__(self) -> None:
        with mock.patch.object(child, "command", command):
            super().__call__()


class StandInKeeper(Keeper):
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
        time.sleep(0.05)
