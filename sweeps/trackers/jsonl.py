"""JSON Lines: `cells.jsonl` in the sweep's folder, a cell a line; two if it failed before it finished."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from isoflop.sweeps.row import Row


class JsonLines:
    """Appends to `path` what it doesn't hold yet."""

    address = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._logged: set[tuple[str, str]] = set()
        self._read = 0
        path.touch()

    def log_cell(self, config: dict[str, Any], curve: Sequence[dict[str, Any]], row: Row) -> None:
        with self.path.open("r+b") as file:
            self._catch_up(file)
            if (row.cell_id, row.status) in self._logged:
                return
            line = json.dumps({"row": row.to_dict(), "config": config, "curve": list(curve)}) + "\n"
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def log_sweep(self, folder: Path, rows: Sequence[Row]) -> None:
        """Do nothing: the table and the report lie beside the file."""

    def close(self) -> None:
        pass

    def _catch_up(self, file: Any) -> None:
        """Reads what another process has added, and cuts off what a killed one left half-written."""
        file.seek(self._read)
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(self._read)
                break
            row = json.loads(line)["row"]
            self._logged.add((row["cell_id"], row["status"]))
            self._read += len(line)
        file.seek(self._read)


def open_tracker(sweep: str, folder: Path, warn: Callable[[str], None]) -> JsonLines:
    """The file in the sweep's folder."""
    return JsonLines(folder / "cells.jsonl")
