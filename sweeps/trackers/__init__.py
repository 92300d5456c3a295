"""Where cells are mirrored for people to look at: a file here that defines `open_tracker` is a tracker.

The sweep's folder is the truth; a tracker that fails is dropped with a warning, and training goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


class Tracker(Protocol):
    """Takes each cell once it is over, and the sweep at its end.

    What returns has been taken: it will be marked as told. A call can be cut off anywhere by a kill and made
    again by another process, so each must be safe to repeat: a cell told twice is one cell. Calls come one at
    a time, from one thread of one process.
    """

    @property
    def place(self) -> str:
        """The address it goes to, or empty for the sweep's folder. What was told is told again to another
        address, but not to the folder."""
        ...

    def cell(self, config: dict[str, Any], curve: Sequence[dict[str, Any]], row: dict[str, Any]) -> None:
        """`config`: the cell's spec, with `trunk_cells` where others share its trunk; `curve`: points with
        step, tokens, flops, train_loss, lr; `row`: of the run table, its `status` finished, diverged or
        failed. Config and curve are empty where nothing was trained to the end."""

    def sweep(self, folder: Path, rows: Sequence[dict[str, Any]]) -> None:
        """The sweep is trained, and its report drawn: `rows` is its run table, `folder` holds the rest."""

    def close(self) -> None:
        """No more is to come."""


@runtime_checkable
class LiveTracker(Tracker, Protocol):
    """A tracker that can show a cell while it trains."""

    @property
    def is_live(self) -> bool:
        """Whether `points` is wanted now."""
        ...

    def points(self, config: dict[str, Any], curve: Sequence[dict[str, Any]], row: dict[str, Any]) -> None:
        """The curve so far of a cell that is being trained; arguments as in `cell`, which will follow. Called
        again with the same points and more."""


def open_tracker(name: str, *, sweep: str, folder: Path, warn: Callable[[str], None]) -> Tracker:
    """The tracker of that name for a sweep and its folder; `warn` takes what a person should know.

    Raises `UserError` with the known names for an unknown one.
    """
    return load_tracker(name)(sweep, folder, warn)


def load_tracker(name: str) -> Callable[[str, Path, Callable[[str], None]], Tracker]:
    """What opens the tracker of that name. Raises `UserError` with the known names for an unknown one."""
    from isoflop.base import plugins

    return plugins.load("isoflop.sweeps.trackers", "open_tracker", name, "tracker").open_tracker
