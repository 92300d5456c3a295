"""Where cells are logged for people to look at: a file here that defines `open_tracker` is a tracker.

The sweep's folder is the truth; a tracker that fails is dropped with a warning, and training goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from isoflop.base import plugins
from isoflop.sweeps.row import Row


class Tracker(Protocol):
    """Takes each cell once it is over, and the sweep at its end.

    What returns has been taken, and will be marked as logged. A call can be cut off anywhere by a kill and
    made again by another process, so each must be safe to repeat: a cell logged twice is one cell. Calls come
    one at a time, from one thread of one process.
    """

    @property
    def address(self) -> str:
        """Where it logs to, or empty for the sweep's folder. What was logged is logged again to another
        address, but not to the folder."""
        ...

    def log_cell(self, config: dict[str, Any], curve: Sequence[dict[str, Any]], row: Row) -> None:
        """`config`: the cell's spec, with `trunk_cells` where others share its trunk; `curve`: points with
        step, tokens, flops, train_loss, lr; `row`: of the run table, its `status` finished, diverged or
        failed. Config and curve are empty where nothing was trained to the end."""

    def log_sweep(self, folder: Path, rows: Sequence[Row]) -> None:
        """The sweep is trained, and its report drawn: `rows` is its run table, `folder` holds the rest."""

    def close(self) -> None:
        """No more is to come."""


@runtime_checkable
class LiveTracker(Tracker, Protocol):
    """A tracker that can show a cell while it trains."""

    @property
    def is_live(self) -> bool:
        """Whether `log_points` is wanted now."""
        ...

    def log_points(self, config: dict[str, Any], curve: Sequence[dict[str, Any]], row: Row) -> None:
        """The curve so far of a cell that is being trained; arguments as in `log_cell`, which will follow.
        Called again with the same points and more."""


OpenTracker = Callable[[str, Path, Callable[[str], None]], Tracker]
"""Takes the sweep's name, its folder, and what warns a person."""


def load_tracker(name: str) -> OpenTracker:
    """The tracker's `open_tracker`. Raises `UserError` with the known names for an unknown one."""
    return plugins.load("isoflop.sweeps.trackers", "open_tracker", name, "tracker").open_tracker
