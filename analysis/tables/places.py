"""Where a row stands, as the table's reader counts: the line of a file, the label of a data frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from isoflop.analysis.tables.delimited import line_numbers


@dataclass(frozen=True)
class Part:
    """The rows of one source. `index`: the numbers, from 0 in the source, of the rows that were read;
    `path`: its file; `labels`: what a data frame calls all of its rows.
    """

    name: str
    index: pd.Index
    path: Path | None = None
    labels: pd.Index | None = None

    def place(self, position: int) -> str:
        """The place of the row at this position among those read."""
        row = int(self.index[position])
        if self.labels is not None:
            return f"row {self.labels[row] if self.labels.is_unique else row}"
        suffix = self.path.suffix.lower() if self.path else ""
        if self.path and suffix in (".csv", ".tsv"):
            return f"line {line_numbers(self.path, tabs=suffix == '.tsv')[row]}"
        if suffix in (".jsonl", ".ndjson"):
            return f"line {row + 1}"
        return f"record {row + 1}" if suffix == ".json" else f"row {row}"


def place_of(parts: tuple[Part, ...], row: int) -> str:
    """The place of a row of the table that the parts make together, rows numbered from 0."""
    first = 0
    for part in parts:
        if row < first + len(part.index):
            place = part.place(row - first)
            return place if len(parts) == 1 else f"{place} of {part.name}"
        first += len(part.index)
    return f"row {row}"
