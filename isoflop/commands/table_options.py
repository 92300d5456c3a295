"""How a table of runs is read: the options that every command with a table shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isoflop import analysis
from isoflop.analysis.options import CountName, FlopsName
from isoflop.arguments import Flag

if TYPE_CHECKING:
    from isoflop.analysis import RunTable


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Columns, rows and counting conventions of the tables that a command reads."""

    columns: str | None = None
    """Rename columns: new=old,..."""
    where: str | None = None
    """Only rows of these values: column=value,... (or !=, <, <=, >, >=)"""
    metric: str = "loss"
    """The column that is fitted in the loss's place, in its own unit: bits_per_byte, loss_NAME, or accuracy
    (of which the error, 1 - accuracy, is fitted)"""
    count: CountName = "non_embedding"
    """What N counts."""
    flops: FlopsName = "exact"
    """What C counts."""
    best_of_each: Flag = False
    """Keep only the run of lowest loss at each N and D, as after a search over learning rates."""

    def load(self, runs: str | Path | Sequence[str | Path], law: str = "chinchilla") -> RunTable:
        """The table that `runs` names, or several pooled, for a law. Errors are those of `load_runs`."""
        return analysis.load_runs(
            runs, law=law, **{name: getattr(self, name) for name in TableOptions.__dataclass_fields__}
        )

    @property
    def given(self) -> tuple[str, ...]:
        """The options that differ from their defaults, as they are spelled on the command line."""
        plain = TableOptions()
        names = TableOptions.__dataclass_fields__
        return tuple(
            f"--{name.replace('_', '-')}" for name in names if getattr(self, name) != getattr(plain, name)
        )
