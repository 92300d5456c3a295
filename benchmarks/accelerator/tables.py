"""Tables that grow by a row at a time, so that a run that is killed keeps what it has."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NO_TIME = "not measured: the part's time was over"
"""The error of a row that was planned and not begun."""
Row = Mapping[str, Any]
"""Numbers, texts and truths by column; a column that is missing or None is an empty field."""


@dataclass(frozen=True)
class Table:
    """A CSV file with these columns; `about` says in a README what it holds."""

    name: str
    columns: tuple[str, ...]
    about: str

    def file(self, folder: Path) -> Path:
        """Where the table is in a folder of results."""
        return folder / f"{self.name}.csv"

    def append(self, folder: Path, row: Row) -> None:
        """Write a row, and the header before the first one; `ValueError` for a file with other columns."""
        path = self.file(folder)
        new = not path.exists()
        if not new and path.read_text().split("\n", 1)[0] != ",".join(self.columns):
            raise ValueError(f"{path} has other columns than {self.name} has now: choose another folder")
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(self.columns)
            writer.writerow([_text(row.get(column)) for column in self.columns])

    def read(self, folder: Path) -> list[dict[str, str]]:
        """The rows, as text; none where there is no file."""
        path = self.file(folder)
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    def markdown(self, folder: Path) -> str:
        """The table for a README, without the columns that are empty throughout and the rows for which there
        was no time, which are counted below it; empty without rows."""
        planned = self.read(folder)
        rows = [row for row in planned if row.get("error") != NO_TIME]
        if not rows:
            return ""
        columns = [column for column in self.columns if any(row[column] for row in rows)]
        lines = [columns, ["---"] * len(columns), *([row[column] for column in columns] for row in rows)]
        table = "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
        )
        left_out = len(planned) - len(rows)
        return table + (f"\n\nFor {left_out} more rows there was no time." if left_out else "")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
