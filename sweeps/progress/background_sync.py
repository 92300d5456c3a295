"""Trackers kept in step with a sweep, each in a thread of its own: training never waits for them."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.progress.table_files import first_of_each
from isoflop.sweeps.progress.tracker_sync import TrackerSync
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.row import Row
from isoflop.sweeps.trackers import load_tracker

CLOSE_SECONDS = 60.0
"""How long the end of a sweep waits for trackers that hang."""

LIVE_SECONDS = 10.0
"""Pause between two looks at the metrics of the cells that are being trained."""

Request = Callable[[TrackerSync], None]


class BackgroundSync:
    """Logs each cell that is over once a folder, and the sweep's end, to each tracker (see `TrackerSync`).

    A tracker that raises is dropped with one warning; what it missed is logged by the next run of the sweep.
    """

    def __init__(self, names: Sequence[str], sweep: str, store: Store, reporter: Reporter) -> None:
        self.store, self.reporter, self.sweep = store, reporter, sweep
        self.requests: dict[str, queue.Queue[Request | None]] = {name: queue.Queue() for name in names}
        self.threads = {
            name: threading.Thread(target=self._work, args=(name,), daemon=True) for name in self.requests
        }
        self.next_live = 0.0
        for thread in self.threads.values():
            thread.start()

    def log_cell(self, row: Row) -> None:
        """Log a cell, unless it is pending or running, to the trackers that do not have it."""
        self._put(lambda sync: sync.log_cell(row))

    def log_live(self, board: Board, claimed: frozenset[str], rows: Sequence[Row]) -> None:
        """Log the cells that are being trained, not too often, and never while a tracker is busy."""
        if time.monotonic() < self.next_live:
            return
        self.next_live = time.monotonic() + LIVE_SECONDS
        by_cell = first_of_each(rows)
        for requests in self.requests.values():
            if requests.empty():
                requests.put(lambda sync: sync.log_live(board, claimed, by_cell))

    def finish(self) -> None:
        """Log the run table and the report that lie in the folder, and cells that no tracker has yet."""
        self._put(lambda sync: sync.log_missing())
        self._put(lambda sync: sync.log_sweep())

    def close(self) -> None:
        """Wait for what was asked for, but not for ever: what is not logged now is by the next run."""
        self._put(None)
        until = time.monotonic() + CLOSE_SECONDS
        for name, thread in self.threads.items():
            thread.join(max(until - time.monotonic(), 0))
            if thread.is_alive():
                self._warn(name, "it does not answer")

    def _put(self, request: Request | None) -> None:
        for requests in self.requests.values():
            requests.put(request)

    def _work(self, name: str) -> None:
        try:
            tracker = load_tracker(name)(self.sweep, self.store.path, self.reporter.warn)
            sync = TrackerSync(name, tracker, self.store)
            with contextlib.closing(tracker), contextlib.closing(sync):
                while (request := self.requests[name].get()) is not None:
                    request(sync)
        except Exception as error:  # whatever a tracker raises, the sweep goes on
            self._warn(name, (str(error).splitlines() or [type(error).__name__])[0])

    def _warn(self, name: str, why: str) -> None:
        self.reporter.warn(f"tracker {Path(name).stem}: {why}; the sweep goes on without it")
