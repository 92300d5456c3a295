"""JSON Lines: `cells.jsonl` in the sweep's folder, one finished cell a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class JsonLines:
    """Appends to `path`."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("a")

    def cell(self, config: dict[str, Any], curve: Sequence[dict[str, Any]], row: dict[str, Any]) -> None:
        self.file.write(json.dumps({"row": row, "config": config, "curve": list(curve)}) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def open_tracker(sweep: str, folder: Path, warn: Callable[[str], None]) -> JsonLines:
    """The file in the sweep's folder."""
    return JsonLines(folder / "cells.jsonl")
