"""What the coordinator, the stall monitor and the workers need of a board, whatever its tasks are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol, TypeVar

from isoflop.sweeps.queue.store import Contents
from isoflop.train.spec import Recipe


class TaskBoard(Protocol):
    """A stage's tasks by name; what of them is missing follows from the folder's contents alone."""

    @property
    def stage(self) -> str:
        """What people call it."""
        ...

    @cached_property
    def name(self) -> str:
        """The name of its file."""
        ...

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """Task -> the recipe of its model."""
        ...

    def missing(self, contents: Contents) -> set[str]:
        """The tasks that are yet to be done, but for those that failed."""
        ...

    def ready(self, missing: set[str], contents: Contents) -> list[str]:
        """Those that can be done now, the most urgent first."""
        ...

    def unneeded_checkpoints(self, missing: set[str], contents: Contents) -> Sequence[str]:
        """The checkpoints that nothing waits for any more and that are not kept."""
        ...

    def to_text(self) -> str:
        """Its file, for workers to read."""
        ...


B_co = TypeVar("B_co", bound=TaskBoard, covariant=True)
