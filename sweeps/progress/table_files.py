"""The tables in a sweep's folder, out of which no run that was finished is ever lost unseen."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from isoflop.sweeps.progress.run_table import CellRows
from isoflop.sweeps.queue.store import Contents, Store
from isoflop.sweeps.row import COLUMNS, Row

RUNS, TUNING, CHECKS = "runs.csv", "tuning.csv", "checks.csv"
"""`RUNS`: the grid, up to date as a stage trains some of them, and whole at the end."""

WRITE_SHARE = 0.02
"""Share of a stage's time that may be spent on writing its table while it goes on."""


class StageTable:
    """Keeps a stage's table in the file `name` up to date; `on_cell` takes each cell that finishes."""

    def __init__(self, store: Store, name: str, cells: CellRows, on_cell: Callable[[Row], None]) -> None:
        self.store, self.name, self.cells, self.on_cell = store, name, cells, on_cell
        self.next_write = 0.0

    def update(self, contents: Contents, claimed: frozenset[str], *, write: bool) -> None:
        """Take in what is new in the folder; write the file where asked to, but not too often."""
        for row in self.cells.update(contents, claimed):
            self.on_cell(row)
        if write and time.monotonic() >= self.next_write:
            self.write()

    def write(self) -> None:
        """Write the file now. Of the run table it keeps the finished runs that are not the stage's."""
        began = time.monotonic()
        rows = self.cells.rows
        write_rows(self.store, self.name, rows, _other_runs(self.store, rows) if self.name == RUNS else ())
        self.next_write = time.monotonic() + (time.monotonic() - began) / WRITE_SHARE


def to_csv(rows: Sequence[Row], others: Sequence[Mapping[str, str]] = ()) -> str:
    """Rows as CSV, then others that are text already; None is an empty field."""
    text = io.StringIO()
    records = [row.to_dict() for row in rows]
    columns = list(records[0]) if records else COLUMNS
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    writer.writerows(others)
    return text.getvalue()


def write_rows(
    store: Store, name: str, rows: Sequence[Row], others: Sequence[Mapping[str, str]] = ()
) -> None:
    """Write a table of the folder; none where there are no rows, or no name."""
    if name and rows:
        store.write_text(name, to_csv(rows, others))


def write_runs(store: Store, rows: Sequence[Row]) -> str:
    """Write the run table as it is at a sweep's end. Return a warning where that leaves out runs that were in
    it: the table as it was is kept beside it."""
    lost = _other_runs(store, rows)
    warning = ""
    if lost:
        before = (store.path / RUNS).read_text()
        kept = f"runs-{hashlib.sha256(before.encode()).hexdigest()[:8]}.csv"
        store.write_text(kept, before)
        warning = f"{len(lost)} runs of the table before are not this sweep's: that table is kept as {kept}"
    write_rows(store, RUNS, rows)
    return warning


def read_rows(store: Store, tables: Sequence[str] = (TUNING, RUNS, CHECKS)) -> list[Row]:
    """The rows of the folder's tables, those that are there."""
    return [Row.from_csv(record) for name in tables for record in _records(store, name)]


def first_of_each(rows: Iterable[Row]) -> dict[str, Row]:
    """The first row of each cell, by cell id: a cell has one for each value of an axis that it stands at."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.cell_id, row)
    return first


def _other_runs(store: Store, rows: Sequence[Row]) -> list[dict[str, str]]:
    """The finished runs of the run table in the folder that are not among `rows`."""
    own = {row.cell_id for row in rows}
    records = _records(store, RUNS)
    return [r for r in records if r.get("status") == "finished" and r.get("cell_id") not in own]


def _records(store: Store, name: str) -> list[dict[str, str]]:
    path = store.path / name
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
