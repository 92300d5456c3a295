"""The finished models of a sweep whose parameters are still in its folder."""

from __future__ import annotations

import csv
from pathlib import Path

from isoflop.base.errors import UserError
from isoflop.evals.trained_model import TrainedModel
from isoflop.sweeps.progress.table_files import RUNS
from isoflop.sweeps.queue.board import read_all
from isoflop.sweeps.queue.store import Contents, Store

KEEP = "--keep all"
"""The option of a sweep by which its finished models stay."""


def kept_models(folder: Path) -> tuple[list[TrainedModel], int]:
    """The models of the run table's finished cells, in its order, and how many more were not kept.

    Raises `UserError` for a folder that is no sweep's, and for one that has none of them.
    """
    store = Store(folder)
    keep = store.config().keep
    contents, places = store.contents(), _places(store)
    finished = [name for name in _finished(store) if name in places]
    models = [model for name in finished if (model := _kept(store, contents, *places[name]))]
    if finished and not models:
        raise UserError(
            f"none of the {len(finished)} models of {folder} was kept (its keep is {keep}): a sweep keeps "
            f"them by {KEEP}, at the disk that isoflop plan says; train it again so, with another --out"
        )
    if not finished:
        raise UserError(f"{folder} has no finished model yet: isoflop status {folder} says how far it is")
    return models, len(finished) - len(models)


def _places(store: Store) -> dict[str, tuple[TrainedModel, str]]:
    """By cell, what it would be as a model, and its last segment."""
    places = {}
    for board in (published.board for published in read_all(store)):
        for name, cell in board.cells.items():
            last = board.tree.paths[name][-1]
            state = store.checkpoint(last) / "state"
            places[name] = TrainedModel(cell, state, Path(board.corpus_of(cell.recipe))), last
    return places


def _finished(store: Store) -> list[str]:
    """Cells of the run table that are finished, each once."""
    try:
        with (store.path / RUNS).open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("status") == "finished"]
    except FileNotFoundError:
        return []
    return list(dict.fromkeys(row["cell_id"] for row in rows))


def _kept(store: Store, contents: Contents, model: TrainedModel, last: str) -> TrainedModel | None:
    """The model, if its parameters are there and as they were written."""
    if last not in contents.checkpoints:
        return None
    store.checked(store.checkpoint(last))
    return model
