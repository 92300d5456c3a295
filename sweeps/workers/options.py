"""What a worker is started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from isoflop.base.ranges import Range, check_ranges
from isoflop.train.execution import Execution


@dataclass(frozen=True)
class WorkerOptions:
    """How the workers of a sweep compute its cells, when they save, and when they are taken for dead."""

    execution: Execution = Execution()
    """How each cell is computed."""
    checkpoint_minutes: Annotated[float, Range(above=0)] = 10.0
    """A kill costs at most this much of a cell's training."""
    lease_seconds: Annotated[float, Range(above=0)] = 60.0
    """A worker silent for so long is taken for dead, and its work is given to others."""
    hang_seconds: Annotated[float, Range(above=0)] = 1800.0
    """A worker that makes no headway for so long, its first compilation included, is ended."""

    def __post_init__(self) -> None:
        check_ranges(self)
