"""Keeps the tables in a sweep's folder, out of which no run that was finished is ever lost unseen."""

from __future__ import annotations

import csv
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from isoflop.sweeps.progress.run_table import COLUMNS, Table, to_csv
from isoflop.sweeps.queue.store import Store

RUNS = "runs.csv"
"""The grid and its replicates: brought up to date as a stage trains some of them, and whole at the end."""

FILE_SHARE = 0.02
"""Of a stage's time that may be spent on writing its table while it goes on."""

Row = dict[str, Any]


class StageTable:
    """Keeps a stage's table in the file `name` up to date. `on_cell` hears of each cell that finishes."""

    def __init__(self, store: Store, name: str, rows: Table, on_cell: Callable[[Row], None]) -> None:
        self.store, self.name, self.rows, self.on_cell = store, name, rows, on_cell
        self.next = 0.0

    def update(self, contents: Any, claimed: frozenset[str], *, write: bool) -> None:
        """Takes in what is new in the folder; writes where it should, and not too often."""
        for cell in self.rows.update(contents, claimed):
            self.on_cell(self.rows.row(cell))
        if write and time.monotonic() >= self.next:
            self.write()

    def write(self) -> None:
        """Writes the file now. Of the run table it keeps the finished runs that are not the stage's."""
        began = time.monotonic()
        rows = self.rows.rows
        if self.name == RUNS:
            rows = [*rows, *_others(self.store, rows)]
        write_rows(self.store, self.name, rows)
        self.next = time.monotonic() + (time.monotonic() - began) / FILE_SHARE


def write_rows(store: Store, name: str, rows: Sequence[Row]) -> None:
    """Writes a table of the folder; none where there are no rows, or no name."""
    if name and rows:
        store.write_text(name, to_csv(rows))


def write_runs(store: Store, rows: Sequence[Row]) -> str:
    """Writes the run table as it is at a sweep's end. A warning where that leaves out runs that were in it:
    the table as it was is kept beside it."""
    lost = _others(store, rows)
    warning = ""
    if lost:
        before = (store.path / RUNS).read_text()
        kept = f"runs-{hashlib.sha256(before.encode()).hexdigest()[:8]}.csv"
        store.write_text(kept, before)
        warning = f"{len(lost)} runs of the table before are not this sweep's: that table is kept as {kept}"
    write_rows(store, RUNS, rows)
    return warning


def _others(store: Store, rows: Sequence[Row]) -> list[Row]:
    """The finished runs of the run table in the folder that are not among `rows`."""
    path = store.path / RUNS
    if not path.exists():
        return []
    own = {row["cell_id"] for row in rows}
    with path.open(newline="") as file:
        found = [row for row in csv.DictReader(file) if row.get("status") == "finished"]
    return [{c: row.get(c, "") for c in COLUMNS} for row in found if row.get("cell_id") not in own]
