"""Mirrors a sweep to its trackers, each in a thread of its own: training never waits for them."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.progress.tracker_sync import TrackerSync
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.trackers import open_tracker

CLOSE_SECONDS = 60.0
"""How long the end of a sweep waits for trackers that hang."""

SHOW_SECONDS = 10.0
"""Between two looks at what the cells under way have come to."""

Order = Callable[[TrackerSync], None]


class BackgroundSync:
    """Tells each tracker of each cell that is over once a folder, and of the sweep's end (see `TrackerSync`).

    A tracker that raises is dropped with one warning; what it missed is told by the next run of the sweep.
    """

    def __init__(self, names: Sequence[str], sweep: str, store: Store, reporter: Reporter) -> None:
        self.store, self.reporter, self.sweep = store, reporter, sweep
        self.orders: dict[str, queue.Queue[Order | None]] = {name: queue.Queue() for name in names}
        self.threads = {
            name: threading.Thread(target=self._work, args=(name,), daemon=True) for name in self.orders
        }
        self.next_show = 0.0
        for thread in self.threads.values():
            thread.start()

    def put(self, row: dict[str, Any]) -> None:
        """Mirrors a cell's row, unless it is pending or running, to the trackers not told of it before."""
        self._order(lambda teller: teller.tell(row))

    def show(self, board: Board, claimed: frozenset[str], rows: Sequence[dict[str, Any]]) -> None:
        """Shows the cells that are being trained, not too often, and never while a tracker is busy."""
        if time.monotonic() < self.next_show:
            return
        self.next_show = time.monotonic() + SHOW_SECONDS
        by_cell = {row["cell_id"]: row for row in rows}
        for orders in self.orders.values():
            if orders.empty():
                orders.put(lambda teller: teller.show(board, claimed, by_cell))

    def finish(self) -> None:
        """Mirrors the run table and the report that lie in the folder, and cells still to be told."""
        self._order(lambda teller: teller.catch_up())
        self._order(lambda teller: teller.end())

    def close(self) -> None:
        """Waits for what is ordered, but not for ever: what is not mirrored now is by the next run."""
        self._order(None)
        until = time.monotonic() + CLOSE_SECONDS
        for name, thread in self.threads.items():
            thread.join(max(until - time.monotonic(), 0))
            if thread.is_alive():
                self._warn(name, "it does not answer")

    def _order(self, order: Order | None) -> None:
        for orders in self.orders.values():
            orders.put(order)

    def _work(self, name: str) -> None:
        try:
            tracker = open_tracker(name, sweep=self.sweep, folder=self.store.path, warn=self.reporter.warn)
            teller = TrackerSync(name, tracker, self.store)
            with contextlib.closing(tracker), contextlib.closing(teller):
                while (order := self.orders[name].get()) is not None:
                    order(teller)
        except Exception as error:  # whatever a tracker raises, the sweep goes on
            self._warn(name, (str(error).splitlines() or [type(error).__name__])[0])

    def _warn(self, name: str, why: str) -> None:
        self.reporter.warn(f"tracker {Path(name).stem}: {why}; the sweep goes on without it")
