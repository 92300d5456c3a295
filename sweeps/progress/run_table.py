"""The rows of some cells, whatever has become of them so far, read from the sweep's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from isoflop.base.durable import CorruptRecordError
from isoflop.base.json_values import content_id, from_json
from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.grids.segments import Tree
from isoflop.sweeps.queue.store import Contents, Store
from isoflop.sweeps.row import Row
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import CellResult, unfinished


class CellRows:
    """One row a cell, in the plan's order.

    A result is read, and checked, once; a corrupt one is set aside, and its cell is pending again.
    """

    def __init__(
        self, sweep: str, planned: Sequence[PlannedCell], tree: Tree, store: Store, corpus: Corpus
    ) -> None:
        self.tree, self.store, self.corpus = tree, store, corpus
        self.planned = {p.cell.cell_id: p for p in planned}
        self._places = _places(sweep, planned, tree)
        self._rows = {cell_id: self._unfinished_row(cell_id, "pending", "") for cell_id in self.planned}

    @property
    def rows(self) -> list[Row]:
        """The rows as they were at the last `update`."""
        return list(self._rows.values())

    def update(self, contents: Contents, claimed: frozenset[str] = frozenset()) -> list[Row]:
        """Bring the rows up to date with the folder; return those that have finished since the last time.

        `claimed`: the segments that workers are training.
        """
        fresh = []
        for cell_id, row in self._rows.items():
            if row.is_finished:
                continue
            if cell_id in contents.cells and (result := self._read(cell_id)):
                self._rows[cell_id] = Row(**vars(result), **self._places[cell_id])
                fresh.append(self._rows[cell_id])
                continue
            status, reason = self._status(cell_id, contents, claimed)
            if (status, reason) != (row.status, row.reason):
                self._rows[cell_id] = self._unfinished_row(cell_id, status, reason)
        return fresh

    def _read(self, cell_id: str) -> CellResult | None:
        try:
            self.store.checked(self.store.cell(cell_id))
        except CorruptRecordError:
            return None
        return from_json(CellResult, self.store.read_json(f"cells/{cell_id}/cell.json")["result"])

    def _status(self, cell_id: str, contents: Contents, claimed: frozenset[str]) -> tuple[str, str]:
        """The status and the reason of a cell that has no result."""
        path = self.tree.paths[cell_id]
        for segment in path:
            if segment in contents.diverged and (at := self._diverged_at(segment)) is not None:
                return "diverged", f"loss not finite at step {at}"
            if segment in contents.failures and segment in contents.failed_segments:
                return "failed", self.store.reason(segment, contents.failures[segment])
        return ("running" if not claimed.isdisjoint(path) else "pending"), ""

    def _diverged_at(self, segment: str) -> int | None:
        try:
            self.store.checked(self.store.diverged(segment))
        except CorruptRecordError:
            return None
        return self.store.read_json(f"diverged/{segment}/segment.json")["diverged_at"]

    def _unfinished_row(self, cell_id: str, status: str, reason: str) -> Row:
        result = unfinished(self.planned[cell_id].cell, self.corpus, status, reason)
        return Row(**vars(result), **self._places[cell_id])


def _places(sweep: str, planned: Sequence[PlannedCell], tree: Tree) -> dict[str, dict[str, Any]]:
    """Cell id -> the columns that say where the cell stands in the sweep."""
    spent, sharing = tree.flops_spent(), Counter(tree.trunks[p.cell.cell_id] for p in planned)
    places = {}
    for p in planned:
        cell_id, trunk = p.cell.cell_id, tree.trunks[p.cell.cell_id]
        shared = sharing[trunk] > 1 and trunk.schedule.name == "wsd"
        places[cell_id] = {
            "trunk_id": content_id(trunk) if shared else cell_id,
            "sweep": sweep,
            "role": p.role,
            "budget": p.budget,
            "lr_rule": p.lr_rule,
            "flops_spent": spent[cell_id],
            "settings": p.settings,
        }
    return places
