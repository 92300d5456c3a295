"""The project's own measured tables, which come with the package: `measured:NAME`."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from isoflop.base.errors import UserError

SCHEME = "measured:"


def known_measured() -> tuple[str, ...]:
    """Names of the folders of docs/results that hold a run table, sorted."""
    return tuple(sorted(path.parent.name for path in _root().glob("*/runs.csv")))


def place_of(path: str | Path) -> Path:
    """The path, or the folder that `measured:NAME` stands for. Raises `UserError` for an unknown name."""
    if not str(path).startswith(SCHEME):
        return Path(path)
    name = str(path).removeprefix(SCHEME)
    if name not in known_measured():
        raise UserError(f"unknown table {path}: known are {', '.join(known_measured())}")
    return _root() / name


def _root() -> Path:
    return Path(str(importlib.resources.files("isoflop"))) / "results"
