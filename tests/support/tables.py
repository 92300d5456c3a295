"""The tables of a sweep's folder, read back."""

from __future__ import annotations

import csv
from pathlib import Path


def read_rows(folder: Path, name: str = "runs.csv") -> list[dict[str, str]]:
    """A table of a sweep's folder."""
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


CLOCK = (
    *("wall_seconds", "first_step_seconds", "step_seconds", "tokens_per_second", "mfu"),
    "peak_memory_bytes",
)


def timeless(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows without the columns that say how fast the machine was."""
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]
