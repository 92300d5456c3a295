"""What a worker is started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from isoflop.base.fields import Positive, check_fields
from isoflop.train.execution import Execution


@dataclass(frozen=True)
class WorkerOptions:
    """How the workers of a sweep compute its cells, when they save, and when they are taken for dead."""

    execution: Annotated[Execution, tyro.conf.arg(name="")] = Execution()
    """How each cell is computed."""
    checkpoint_minutes: Positive = 10.0
    """A kill costs at most this much of a cell's training."""
    lease_seconds: Positive = 60.0
    """A worker silent for so long is taken for dead, and its work is given to others."""
    hang_seconds: Positive = 1800.0
    """A worker that makes no headway for so long, its first compilation included, is ended."""

    def __post_init__(self) -> None:
        check_fields(self)
