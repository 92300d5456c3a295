"""Tells one tracker of what a sweep's folder holds, and marks in the folder what it has taken."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TextIO, get_args, get_type_hints

from isoflop.base.errors import UserError
from isoflop.base.json_values import to_json
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.live_metrics import LiveCurves, under_way
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.trackers import LiveTracker, Tracker
from isoflop.train.result import CellResult

LIVE_CELLS = 24
"""Cells that are shown at once while they train; others follow as these are over."""

RUN_TABLE = "runs.csv"
TABLES = ("tuning.csv", RUN_TABLE, "checks.csv")
OVER = ("finished", "diverged", "failed")
"""What can be told of a cell; `pending` and `running` ones have yet to become something."""

LOCK_SECONDS = 50.0
"""How long a turn at a tracker is waited for: whoever has it may be stopped."""

DRAWN = ("report.html", "fit.json", RUN_TABLE)
"""Files whose change makes a sweep's end a new one."""


class TrackerSync:
    """`mirrored/NAME/ID` marks what was told of a cell, and where: its status and the tracker's place.

    A mark is written once the tracker has returned. Coordinators that share the folder take turns by a lock,
    which goes with its process, however that ends.
    """

    def __init__(self, name: str, tracker: Tracker, store: Store) -> None:
        self.name, self.tracker, self.store = name, tracker, store
        self.marks = Path("mirrored") / Path(name).stem
        (store.path / self.marks).mkdir(parents=True, exist_ok=True)
        self._curves = LiveCurves(store)
        self._shown: dict[str, int] = {}
        self._lead: TextIO | None = None

    def tell(self, row: dict[str, Any], again: bool = False) -> None:
        """Tells of a cell that is over, unless its mark says that it was told (`again`: even then)."""
        cell_id, status = row["cell_id"], row["status"]
        if status == "finished" and not self.store.cell_done(cell_id):
            return  # it was set aside as damaged, and is trained again
        if status in OVER and (again or not self._is_shown_elsewhere()):
            self._shown.pop(cell_id, None)
            self._once(cell_id, status, again, lambda: self.tracker.cell(*self._trained(row), row))

    def show(self, board: Board, claimed: frozenset[str], rows: Mapping[str, dict[str, Any]]) -> None:
        """Shows what the cells have come to that are being trained, if the tracker wants it, LIVE_CELLS of
        them at most. Of the coordinators on one folder one does so; `rows`: by cell."""
        tracker = self.tracker
        if not (isinstance(tracker, LiveTracker) and tracker.is_live) or self._is_shown_elsewhere():
            return
        for name in under_way(board, self.store, claimed):
            if name in self._shown or len(self._shown) < LIVE_CELLS:
                points = self._curves.points(board.cells[name], board.tree.paths[name])
                if len(points) > self._shown.get(name, 0) and tracker.is_live:
                    self._shown[name] = len(points)
                    tracker.points(to_json(board.cells[name]), points, rows[name])

    def _is_shown_elsewhere(self) -> bool:
        """Whether another process shows cells as they train, and has their runs open; else this one may."""
        if not (isinstance(self.tracker, LiveTracker) and self.tracker.is_live) or self._lead:
            return False
        file = (self.store.path / f"{self.marks}.live").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return True
        except OSError:  # a file system without locks
            pass
        self._lead = file
        return False

    def close(self) -> None:
        """Leaves the cells under way to others."""
        if self._lead:
            self._lead.close()

    def catch_up(self) -> None:
        """Tells of every cell of the folder's tables that was not told yet."""
        for row in read_rows(self.store):
            self.tell(row)

    def end(self, again: bool = False) -> None:
        """Tells of the sweep's end, the run table and the report, if they are there and were not told."""
        drawn = [self.store.path / name for name in DRAWN]
        if all(path.exists() for path in drawn):
            digest = _digest(drawn)
            rows = read_rows(self.store, (RUN_TABLE,))
            self._once("sweep", digest, again, lambda: self.tracker.sweep(self.store.path, rows))

    def _once(self, name: str, what: str, again: bool, tell: Callable[[], None]) -> None:
        mark = self.marks / name
        with self._alone():
            if not again and self._knows(self.store.path / mark, what):
                return
            tell()
            self.store.write_text(str(mark), f"{what} {self.tracker.place}\n")

    def _knows(self, mark: Path, what: str) -> bool:
        if not mark.exists():
            return False
        said, _, place = mark.read_text().rstrip("\n").partition(" ")
        return said == what and self.tracker.place in ("", place)

    def _trained(self, row: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The cell's spec, with who shares its trunk, and its curve."""
        folder = self.store.cell(row["cell_id"])
        if row["status"] != "finished":
            return {}, []
        record = json.loads((folder / "cell.json").read_text())
        config = record["cell"] | {"provenance": record.get("provenance")}
        curve = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
        siblings = [r["cell_id"] for r in read_rows(self.store) if r["trunk_id"] == row["trunk_id"]]
        return config | ({"trunk_cells": siblings} if len(siblings) > 1 else {}), curve

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        path = self.store.path / f"{self.marks}.lock"
        with path.open("w") as file:
            until = time.monotonic() + LOCK_SECONDS
            while not _locked(file):
                if time.monotonic() > until:
                    held = f"another process has held {path} for {LOCK_SECONDS:.0f} s"
                    raise UserError(f"{held}: end it, or try again later")
                time.sleep(LOCK_SECONDS / 500)
            yield


def _locked(file: IO[str]) -> bool:
    """Whether the file's lock is ours now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: marks alone must do
        return True
    return True


def _digest(drawn: Sequence[Path]) -> str:
    """Of the files' content but for the time they were made at: the same report drawn again is not new."""
    content = b"".join(path.read_bytes() for path in drawn)
    made_at = (json.loads(drawn[DRAWN.index("fit.json")].read_text()).get("provenance") or {}).get("time", "")
    return hashlib.sha256(content.replace(made_at.encode(), b"") if made_at else content).hexdigest()[:16]


def read_rows(store: Store, tables: tuple[str, ...] = TABLES) -> list[dict[str, Any]]:
    """The rows of the folder's run tables, values as they were before they were CSV."""
    rows = []
    for name in tables:
        path = store.path / name
        if path.exists():
            with path.open(newline="") as file:
                rows += [{name: _value(name, text) for name, text in r.items()} for r in csv.DictReader(file)]
    return rows


NUMBERS: dict[str, Callable[[str], float]] = {
    name: kind
    for name, hint in (get_type_hints(CellResult) | {"budget": float, "flops_spent": float}).items()
    for kind in (int, float)
    if kind in (hint, *get_args(hint))
}
"""How the columns that hold numbers are read."""


def _value(column: str, text: str) -> Any:
    read = NUMBERS.get(column)
    if read is None:
        return text
    return read(text) if text else None
