"""Where finished cells are mirrored for people to look at: a file here that defines `open_tracker` is one.

The sweep's folder is the truth; a tracker that fails is dropped with a warning, and training goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from models import plugins


class Tracker(Protocol):
    """Takes each finished cell once."""

    def cell(self, config: dict[str, Any], curve: Sequence[dict[str, Any]], row: dict[str, Any]) -> None:
        """`config`: the cell's spec; `curve`: points with step, tokens, flops, train_loss, lr; `row`: of
        the run table."""

    def close(self) -> None:
        """The sweep is over."""


def open_tracker(name: str, *, sweep: str, folder: Path, warn: Callable[[str], None]) -> Tracker:
    """The tracker of that name for a sweep and its folder; `warn` takes what a person should know.

    Raises `UserError` with the known names for an unknown one.
    """
    return load_tracker(name)(sweep, folder, warn)


def load_tracker(name: str) -> Callable[[str, Path, Callable[[str], None]], Tracker]:
    """What opens the tracker of that name. Raises `UserError` with the known names for an unknown one."""
    return plugins.load("train.trackers", "open_tracker", name, "tracker").open_tracker
