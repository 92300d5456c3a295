"""The rows of some cells, whatever has become of them so far, read from the sweep's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from isoflop.base.durable import CorruptRecordError
from isoflop.base.json_values import content_id, from_json
from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.grids.segments import Tree
from isoflop.sweeps.queue.store import Contents, Store
from isoflop.sweeps.row import Row
from isoflop.train.data.corpus import Corpus
from isoflop.train.data.sources.mix import shares_of
from isoflop.train.result import CellResult, share_column, unfinished

Place = tuple[str, tuple[tuple[str, Any], ...]]
"""A row's key: the cell's id and its values of the sweep's axes."""


class CellRows:
    """One row a cell, in the plan's order, and one more for each further value of an axis that it stands at:
    so the rows of each value are its whole grid.

    A result is read, and checked, once a row; a corrupt one is set aside, and its cell is pending again.
    `corpora`: by source, where cells are trained on others than `corpus`.
    """

    def __init__(
        self,
        sweep: str,
        planned: Sequence[PlannedCell],
        tree: Tree,
        store: Store,
        corpus: Corpus,
        corpora: Mapping[str, Corpus] | None = None,
    ) -> None:
        self.tree, self.store, self.corpus, self.corpora = tree, store, corpus, corpora or {}
        self._planned = {(p.cell.cell_id, p.settings): p for p in planned}
        self._places = _places(sweep, list(self._planned.values()), tree)
        self._rows = {place: self._unfinished_row(place, "pending", "") for place in self._planned}

    @property
    def rows(self) -> list[Row]:
        """The rows as they were at the last `update`."""
        return list(self._rows.values())

    def update(self, contents: Contents, claimed: frozenset[str] = frozenset()) -> list[Row]:
        """Bring the rows up to date with the folder; return those that have finished since the last time.

        `claimed`: the segments that workers are training.
        """
        fresh = []
        for place, row in self._rows.items():
            if row.is_finished:
                continue
            cell_id, _ = place
            status, reason = contents.cell_status(cell_id, self.tree.paths[cell_id], claimed), ""
            try:
                if status == "finished":
                    self._rows[place] = Row(**vars(self._result(cell_id)), **self._places[place])
                    fresh.append(self._rows[place])
                    continue
                reason = self._reason(cell_id, status, contents)
            except CorruptRecordError:  # set aside, to be made again
                status = "pending"
            if (status, reason) != (row.status, row.reason):
                self._rows[place] = self._unfinished_row(place, status, reason)
        return fresh

    def _result(self, cell_id: str) -> CellResult:
        self.store.checked(self.store.cell(cell_id))
        return from_json(CellResult, self.store.read_json(f"cells/{cell_id}/cell.json")["result"])

    def _reason(self, cell_id: str, status: str, contents: Contents) -> str:
        """Why a cell is lost; empty while it is not."""
        path = self.tree.paths[cell_id]
        if status == "diverged":
            segment = next(segment for segment in path if segment in contents.diverged)
            self.store.checked(self.store.diverged(segment))
            at = self.store.read_json(f"diverged/{segment}/segment.json")["diverged_at"]
            return f"loss not finite at step {at}"
        if status == "failed":
            segment = next(segment for segment in path if segment in contents.failed_segments)
            return self.store.reason(segment, contents.failures[segment])
        return ""

    def _unfinished_row(self, place: Place, status: str, reason: str) -> Row:
        cell = self._planned[place].cell
        corpus = self.corpora.get(cell.recipe.data.source, self.corpus)
        result = unfinished(cell, corpus, status, reason)
        return Row(**vars(result), **self._places[place])


def _places(sweep: str, planned: Sequence[PlannedCell], tree: Tree) -> dict[Place, dict[str, Any]]:
    """The columns that say where each row's cell stands in the sweep."""
    spent, rows = tree.flops_spent(), Counter(p.cell.cell_id for p in planned)
    sharing = Counter(tree.trunks[cell_id] for cell_id in rows)
    shares = _shares({p.cell.recipe.data.source for p in planned})
    places = {}
    for p in planned:
        cell_id, trunk = p.cell.cell_id, tree.trunks[p.cell.cell_id]
        shared = sharing[trunk] > 1 and trunk.schedule.name == "wsd"
        places[cell_id, p.settings] = {
            "trunk_id": content_id(trunk) if shared else cell_id,
            "sweep": sweep,
            "role": p.role,
            "budget": p.budget,
            "lr_rule": p.lr_rule,
            "flops_spent": spent[cell_id] / rows[cell_id],
            "settings": p.settings,
            "shares": shares.get(p.cell.recipe.data.source, {}),
        }
    return places


def _shares(corpora: set[str]) -> dict[str, dict[str, float]]:
    """By corpus, the share of each source that any of them is mixed of, by column; none without a mixture."""
    shares = {corpus: shares_of(corpus) for corpus in sorted(corpora)}
    names = dict.fromkeys(name for own in shares.values() for name in own)
    if all(len(own) == 1 for own in shares.values()):
        return {}
    return {
        corpus: {share_column(name): own.get(name, 0.0) for name in names} for corpus, own in shares.items()
    }
