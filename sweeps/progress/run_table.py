"""The run tables of a sweep's folder."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from isoflop.base.durable import CorruptRecordError
from isoflop.base.json_values import content_id, from_json
from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.grids.segments import Tree
from isoflop.sweeps.queue.store import Contents, Store
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import CellResult, unfinished

FIRST = ("cell_id", "trunk_id", "sweep", "init_seed", "data_seed", "status", "reason", "role", "budget")

COLUMNS = (
    *FIRST,
    *("lr_rule", "flops_spent"),
    *(f.name for f in fields(CellResult) if f.name not in FIRST),
)


class Table:
    """One row a cell, in the plan's order, whatever has become of it so far.

    A result is read, and checked, once; a damaged one is set aside, and its cell is pending again.
    """

    def __init__(
        self, sweep: str, planned: Sequence[PlannedCell], tree: Tree, store: Store, corpus: Corpus
    ) -> None:
        self.tree, self.store, self.corpus = tree, store, corpus
        self.planned = {p.cell.cell_id: p for p in planned}
        self._places = _places(sweep, planned, tree)
        self._rows = {name: self._row(name, "pending", "") for name in self.planned}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """As they were at the last `update`."""
        return list(self._rows.values())

    def row(self, cell_id: str) -> dict[str, Any]:
        """One of them."""
        return self._rows[cell_id]

    def update(self, contents: Contents, claimed: frozenset[str] = frozenset()) -> list[str]:
        """Brings the rows up to date with the folder; the cells that have their result since the last time.

        `claimed`: the segments that workers are at.
        """
        fresh = []
        for name in self.planned:
            row = self._rows[name]
            if row["status"] == "finished":
                continue
            if name in contents.cells and (result := self._read(name)):
                self._rows[name] = self._arranged(name, result)
                fresh.append(name)
                continue
            status, reason = self._unfinished(name, contents, claimed)
            if (status, reason) != (row["status"], row["reason"]):
                self._rows[name] = self._row(name, status, reason)
        return fresh

    def _read(self, name: str) -> CellResult | None:
        try:
            folder = self.store.checked(self.store.cell(name))
        except CorruptRecordError:
            return None
        return from_json(CellResult, self.store.read_json(f"cells/{folder.name}/cell.json")["result"])

    def _unfinished(self, name: str, contents: Contents, claimed: frozenset[str]) -> tuple[str, str]:
        path = self.tree.paths[name]
        for segment in path:
            if segment in contents.diverged and (at := self._diverged_at(segment)) is not None:
                return "diverged", f"loss not finite at step {at}"
            if segment in contents.failures and segment in contents.hopeless:
                return "failed", self.store.reason(segment, contents.failures[segment])
        return ("running" if not claimed.isdisjoint(path) else "pending"), ""

    def _diverged_at(self, segment: str) -> int | None:
        try:
            self.store.checked(self.store.diverged(segment))
        except CorruptRecordError:
            return None
        return self.store.read_json(f"diverged/{segment}/segment.json")["diverged_at"]

    def _row(self, name: str, status: str, reason: str) -> dict[str, Any]:
        return self._arranged(name, unfinished(self.planned[name].cell, self.corpus, status, reason))

    def _arranged(self, name: str, result: CellResult) -> dict[str, Any]:
        row = self._places[name] | vars(result)
        return {key: row[key] for key in COLUMNS}


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _places(sweep: str, planned: Sequence[PlannedCell], tree: Tree) -> dict[str, dict[str, Any]]:
    """What a row says of its cell's place in the sweep."""
    spent, recipes = tree.flops_spent(), Counter(p.cell.recipe for p in planned)
    places = {}
    for p in planned:
        name, recipe = p.cell.cell_id, p.cell.recipe
        shared = recipes[recipe] > 1 and recipe.schedule.name == "wsd"
        places[name] = {
            "trunk_id": content_id(recipe) if shared else name,
            "sweep": sweep,
            "role": p.role,
            "budget": p.budget,
            "lr_rule": p.lr_rule,
            "flops_spent": spent[name],
        }
    return places
