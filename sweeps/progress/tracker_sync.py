"""One tracker kept in step with a sweep's folder: marks in the folder say what it has taken."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TextIO

from isoflop.base.errors import UserError
from isoflop.base.json_values import to_json
from isoflop.sweeps.progress.table_files import RUNS, first_of_each, read_rows
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.live_metrics import LiveCurves, under_way
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.row import Row
from isoflop.sweeps.trackers import LiveTracker, Tracker

MAX_LIVE_CELLS = 24
"""Cells that are shown at once while they train; others follow as these are over."""

LOCK_SECONDS = 50.0
"""How long a turn at a tracker is waited for: whoever has it may be stopped."""

REPORT_FILES = ("report.html", "fit.json", RUNS)
"""Files whose change makes a sweep's end a new one."""


class TrackerSync:
    """`mirrored/NAME/ID` marks what was logged of a cell, and where: its status and the tracker's address.

    A mark is written once the tracker has returned. Coordinators that share the folder take turns by a lock,
    which goes with its process, however that ends.
    """

    def __init__(self, name: str, tracker: Tracker, store: Store) -> None:
        self.tracker, self.store = tracker, store
        self.marks = Path("mirrored") / Path(name).stem
        (store.path / self.marks).mkdir(parents=True, exist_ok=True)
        self._curves = LiveCurves(store)
        self._points_logged: dict[str, int] = {}
        self._live_lock: TextIO | None = None

    def log_cell(self, row: Row, again: bool = False) -> None:
        """Log a cell that is over, unless its mark says that it was logged (`again`: even then)."""
        if row.is_finished and not self.store.cell(row.cell_id).exists():
            return  # it was set aside as corrupt, and is trained again
        if row.is_over and (again or not self._is_live_elsewhere()):
            self._points_logged.pop(row.cell_id, None)
            self._once(row.cell_id, row.status, again, lambda: self.tracker.log_cell(*self._record(row), row))

    def log_live(self, board: Board, claimed: frozenset[str], rows: Mapping[str, Row]) -> None:
        """Log the curves so far of cells that are being trained, if the tracker wants them, MAX_LIVE_CELLS at
        most. Of the coordinators on one folder one does so; `rows`: by cell."""
        tracker = self.tracker
        if not (isinstance(tracker, LiveTracker) and tracker.is_live) or self._is_live_elsewhere():
            return
        for cell_id in under_way(board, self.store, claimed):
            if cell_id in self._points_logged or len(self._points_logged) < MAX_LIVE_CELLS:
                points = self._curves.points(board.cells[cell_id], board.tree.paths[cell_id])
                if len(points) > self._points_logged.get(cell_id, 0) and tracker.is_live:
                    self._points_logged[cell_id] = len(points)
                    tracker.log_points(to_json(board.cells[cell_id]), points, rows[cell_id])

    def log_missing(self) -> None:
        """Log every cell of the folder's tables that was not logged yet."""
        for row in first_of_each(read_rows(self.store)).values():
            self.log_cell(row)

    def log_sweep(self, again: bool = False) -> None:
        """Log the sweep's end, the run table and the report, if they are there and were not logged."""
        files = [self.store.path / name for name in REPORT_FILES]
        if all(path.exists() for path in files):
            rows = read_rows(self.store, (RUNS,))
            self._once("sweep", _digest(files), again, lambda: self.tracker.log_sweep(self.store.path, rows))

    def close(self) -> None:
        """Leave the cells that are being trained to other coordinators."""
        if self._live_lock:
            self._live_lock.close()

    def _is_live_elsewhere(self) -> bool:
        """Whether another process logs cells as they train, and has their runs open; else this one may."""
        if not (isinstance(self.tracker, LiveTracker) and self.tracker.is_live) or self._live_lock:
            return False
        file = (self.store.path / f"{self.marks}.live").open("w")
        if not _lock(file):
            file.close()
            return True
        self._live_lock = file
        return False

    def _once(self, name: str, content: str, again: bool, log: Callable[[], None]) -> None:
        mark = self.marks / name
        with self._turn():
            if again or not self._is_marked(self.store.path / mark, content):
                log()
                self.store.write_text(str(mark), f"{content} {self.tracker.address}\n")

    def _is_marked(self, mark: Path, content: str) -> bool:
        if not mark.exists():
            return False
        marked, _, address = mark.read_text().rstrip("\n").partition(" ")
        return marked == content and self.tracker.address in ("", address)

    def _record(self, row: Row) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The cell's spec, with the cells that share its trunk, and its curve."""
        if not row.is_finished:
            return {}, []
        folder = self.store.cell(row.cell_id)
        record = json.loads((folder / "cell.json").read_text())
        config = record["cell"] | {"provenance": record.get("provenance")}
        curve = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
        rows = first_of_each(read_rows(self.store)).values()
        siblings = [r.cell_id for r in rows if r.trunk_id == row.trunk_id]
        return config | ({"trunk_cells": siblings} if len(siblings) > 1 else {}), curve

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """This process' turn at the tracker, which no other has meanwhile."""
        path = self.store.path / f"{self.marks}.lock"
        with path.open("w") as file:
            until = time.monotonic() + LOCK_SECONDS
            while not _lock(file):
                if time.monotonic() > until:
                    held = f"another process has held {path} for {LOCK_SECONDS:.0f} s"
                    raise UserError(f"{held}: end it, or try again later")
                time.sleep(LOCK_SECONDS / 500)
            yield


def _lock(file: IO[str]) -> bool:
    """Whether the file's lock is ours now; so it is on a file system without locks, where marks must do."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _digest(files: Sequence[Path]) -> str:
    """A digest of the files but for the time they were made at: the same report drawn again is not new."""
    content = b"".join(path.read_bytes() for path in files)
    fit = json.loads(files[REPORT_FILES.index("fit.json")].read_text())
    made_at = (fit.get("provenance") or {}).get("time", "")
    return hashlib.sha256(content.replace(made_at.encode(), b"") if made_at else content).hexdigest()[:16]
