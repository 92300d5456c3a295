"""A row of the run table: what a cell measured, and its place in the sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

from isoflop.base.json_values import from_json
from isoflop.train.result import CellResult

LEADING = (
    *("cell_id", "trunk_id", "sweep", "init_seed", "data_seed", "status", "reason", "role", "budget"),
    *("lr_rule", "flops_spent"),
)
"""The columns that a table begins with; the others follow in the order of `CellResult`."""


@dataclass(frozen=True, kw_only=True)
class Row(CellResult):
    """A cell's result, and what only the sweep knows of it.

    `trunk_id` names what cells share that branch off one trunk; `budget` in FLOPs; `lr_rule`: the rule that
    gave `lr`; `flops_spent`: the row's share of what its cell's segments cost, each divided among the cells
    on it; `settings`: the values of the sweep's axes, each with its option's name; `shares`: in a sweep on
    mixtures, what share of the training windows each of their sources gives, by `share_column`.
    """

    trunk_id: str
    sweep: str
    role: str
    budget: float
    lr_rule: str
    flops_spent: float
    settings: tuple[tuple[str, Any], ...] = ()
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the cell has its loss."""
        return self.status == "finished"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of the cell in this run of the sweep."""
        return self.status in OVER

    def to_dict(self) -> dict[str, Any]:
        """The row by column, in the order of the table, and the settings that are none of its columns."""
        columns = {name: getattr(self, name) for name in COLUMNS} | self.eval_losses | self.shares
        if self.settings:
            columns[AXES] = self.axes
        return columns | {name: value for name, value in self.settings if name not in COLUMNS}

    @property
    def axes(self) -> str:
        """The settings in words: `experts=4, dtype=bfloat16`."""
        return ", ".join(f"{option}={value}" for option, value in self.settings)

    @classmethod
    def from_csv(cls, record: Mapping[str, str]) -> Row:
        """The row back from its fields as text; an empty field that holds no text is None."""
        known = {k: v if v or k in TEXTS else None for k, v in record.items() if k in COLUMNS}
        further = {k: v or None for k, v in record.items() if k.startswith("loss_") and k not in COLUMNS}
        pairs = (pair.partition("=") for pair in record.get(AXES, "").split(", ") if pair)
        settings = tuple((option, value) for option, _, value in pairs)
        shares = {k: v for k, v in record.items() if k.startswith("share_") and v}
        return from_json(cls, known | {"settings": settings, "eval_losses": further, "shares": shares})


OVER = ("finished", "diverged", "failed")
"""Statuses of cells that are over; the others are `pending` and `running`."""

COLUMNS = (
    *LEADING,
    *(f.name for f in fields(CellResult) if f.name not in (*LEADING, "eval_losses")),
)

AXES = "axes"
"""The column of the settings together, in a sweep that has axes; each has a column of its own besides."""

TEXTS = frozenset(name for name, hint in get_type_hints(Row).items() if hint is str)
"""The columns of text, in which an empty field is an empty text."""
