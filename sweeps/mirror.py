"""Mirrors finished cells to the trackers in a thread of its own: training never waits for them."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps.progress import Reporter
from sweeps.store import Store
from train.trackers import Tracker, open_tracker

CLOSE_SECONDS = 60.0
"""How long the end of a sweep waits for a tracker that hangs."""


class Mirror:
    """Tells each tracker of each finished cell once a folder; `mirrored/TRACKER/ID` marks it as told."""

    def __init__(self, names: Sequence[str], sweep: str, store: Store, reporter: Reporter) -> None:
        self.store, self.reporter = store, reporter
        self.marks = store.path / "mirrored"
        self.marks.mkdir(exist_ok=True)
        self.queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.thread = threading.Thread(target=self._work, args=(list(names), sweep), daemon=True)
        self.thread.start()

    def put(self, row: dict[str, Any]) -> None:
        """Mirrors a finished cell's row to the trackers that were not told of it before."""
        self.queue.put(row)

    def close(self) -> None:
        """Waits for what is queued, but not for ever: an unmirrored cell is mirrored by the next run."""
        self.queue.put(None)
        self.thread.join(CLOSE_SECONDS)
        if self.thread.is_alive():
            self.reporter.warn("a tracker does not answer: the results are in the folder all the same")

    def _work(self, names: list[str], sweep: str) -> None:
        trackers = {name: t for name in names if (t := self._open(name, sweep)) is not None}
        while (row := self.queue.get()) is not None:
            for name, tracker in list(trackers.items()):
                try:
                    self._tell(name, tracker, row)
                except Exception as error:  # whatever a tracker raises, the sweep goes on
                    self._warn(name, error)
                    del trackers[name]
        for tracker in trackers.values():
            tracker.close()

    def _tell(self, name: str, tracker: Tracker, row: dict[str, Any]) -> None:
        mark = self.marks / Path(name).stem / row["cell_id"]
        if mark.exists():
            return
        folder = self.store.cell(row["cell_id"])
        config = json.loads((folder / "cell.json").read_text())["cell"]
        curve = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
        tracker.cell(config, curve, row)
        mark.parent.mkdir(exist_ok=True)
        mark.touch()

    def _open(self, name: str, sweep: str) -> Tracker | None:
        try:
            return open_tracker(name, sweep=sweep, folder=self.store.path, warn=self.reporter.warn)
        except Exception as error:
            self._warn(name, error)
            return None

    def _warn(self, name: str, error: Exception) -> None:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        self.reporter.warn(f"tracker {name}: {first}; the sweep goes on without it")
