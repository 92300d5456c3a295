"""The run tables of a sweep's folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from sweeps.grid import PlannedCell
from sweeps.segments import Tree
from sweeps.store import Store
from train.corpus import Corpus
from train.result import CellResult, unfinished
from train.spec import content_id, from_json, to_json

FIRST = ("cell_id", "trunk_id", "sweep", "init_seed", "data_seed", "status", "reason", "role", "budget")


def rows(
    name: str, planned: Sequence[PlannedCell], tree: Tree, store: Store, corpus: Corpus
) -> list[dict[str, Any]]:
    """One row a cell, in the plan's order, whatever has become of it so far."""
    spent = tree.flops_spent()
    recipes = [p.cell.recipe for p in planned]
    table = []
    for p in planned:
        cell_id = p.cell.cell_id
        shared = recipes.count(p.cell.recipe) > 1 and p.cell.recipe.schedule.name == "wsd"
        place = {
            "trunk_id": content_id(p.cell.recipe) if shared else cell_id,
            "sweep": name,
            "role": p.role,
            "budget": p.budget,
            "lr_rule": p.lr_rule,
            "flops_spent": spent[cell_id],
        }
        row = place | to_json(result_of(p, tree, store, corpus))
        table.append({key: row[key] for key in (*FIRST, *(k for k in row if k not in FIRST))})
    return table


def result_of(planned: PlannedCell, tree: Tree, store: Store, corpus: Corpus) -> CellResult:
    """The cell's result, or why it has none."""
    cell = planned.cell
    if store.cell_done(cell.cell_id):
        return from_json(CellResult, store.read_json(f"cells/{cell.cell_id}/cell.json")["result"])
    for segment_id in tree.paths[cell.cell_id]:
        if store.failure(segment_id).exists():
            reason = store.read_json(f"failures/{segment_id}.json")["reason"]
            return unfinished(cell, corpus, "failed", reason)
        at = store.diverged_at(segment_id)
        if at is not None:
            return unfinished(cell, corpus, "diverged", f"loss not finite at step {at}")
    return unfinished(cell, corpus, "pending", "")


def to_csv(table: Sequence[dict[str, Any]]) -> str:
    """The rows as CSV; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()
