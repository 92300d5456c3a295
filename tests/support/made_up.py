"""A sweep's folder as a finished sweep leaves it, without the training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from isoflop.base.json_values import to_json
from isoflop.sweeps.progress.table_files import read_rows, to_csv
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.row import Row
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import CellResult, Clock, Evaluation, curve, measured, unfinished
from isoflop.train.spec import CellSpec
from tests.support.small import small_model, small_recipe, small_sweep

STEPS = (100, 200)
TRUNK = "0123456789abcdef"
POINTS = 30


def row_of(cell: CellSpec, role: str, trunk: str, result: CellResult) -> Row:
    """The cell's row of the run table."""
    return Row(
        **vars(result),
        trunk_id=trunk or cell.cell_id,
        sweep="small",
        role=role,
        budget=float(f"{cell.flops:.1g}"),
        lr_rule="0.06 * width^-0.5",
        flops_spent=cell.flops * 0.7,
    )


def train(cell: CellSpec, corpus: Corpus, store: Store, role: str, trunk: str = "") -> Row:
    """A cell that finished as a law of its size and length would have it, in the sweep's folder."""
    N, D = cell.recipe.ledger.params(), cell.tokens
    loss = 1.5 + 30 * N**-0.4 + 40 * D**-0.4
    losses = np.linspace(5, loss, cell.steps, dtype=np.float32)
    metrics = {"loss": losses, "grad_norm": np.flip(losses)}
    windows = np.array([loss - 0.1, loss + 0.1], dtype=np.float32)
    clock = Clock(3.0, 1.0, 0.01)
    evaluation = Evaluation(windows, np.exp(-windows))
    result = measured(cell, corpus, evaluation=evaluation, metrics=metrics, clock=clock, device="cpu")
    points = curve(cell, metrics, losses)[:: cell.steps // POINTS]
    store.write_json(f"cells/{cell.cell_id}/cell.json", {"cell": to_json(cell), "result": to_json(result)})
    store.write_text(f"cells/{cell.cell_id}/curve.jsonl", "".join(json.dumps(p) + "\n" for p in points))
    return row_of(cell, role, trunk, result)


def wild(corpus: Corpus) -> CellSpec:
    """The cell that diverged."""
    return CellSpec(small_recipe(corpus, init_seed=1), 100)


def train_again(store: Store, corpus: Corpus) -> Row:
    """The row of the cell that diverged, which is now in the folder as one that finished."""
    grid = read_rows(store, ("runs.csv",))[:-1]
    row = train(wild(corpus), corpus, store, "retry")
    store.write_text("runs.csv", to_csv([*grid, row]))
    return row


def make_store(folder: Path, corpus: Corpus) -> Store:
    """A sweep's folder: four grid cells of two trunks, one that diverged, a tuning cell, and a report."""
    store = Store.open(folder, small_sweep("nowhere"))
    recipes = [small_recipe(corpus, model=small_model(width)) for width in (8, 16)]
    grid = [
        train(CellSpec(recipe, steps), corpus, store, "grid", f"{i}{TRUNK[1:]}")
        for i, recipe in enumerate(recipes)
        for steps in STEPS
    ]
    nothing = unfinished(wild(corpus), corpus, "diverged", "loss not finite at step 7")
    grid.append(row_of(wild(corpus), "retry", "", nothing))
    tuning = train(CellSpec(small_recipe(corpus, init_seed=2), 100, "tune"), corpus, store, "tune")
    store.write_text("runs.csv", to_csv(grid))
    store.write_text("tuning.csv", to_csv([tuning]))
    store.write_text("report.html", "<p>the report</p>")
    store.write_text("figures/isoflop.png", "not really")
    fit = {
        "law": "chinchilla",
        "params": {"E": 1.5, "alpha": 0.4},
        "exponents": {"a": 0.5},
        "intervals": {"level": 0.95, "params": {"alpha": [0.3, 0.5], "E": None}, "exponents": {}},
        "certificate": {"status": "certified"},
        "identified": {"E": False, "alpha": True},
        "misfit": {"p_value": 0.2},
    }
    store.write_json("fit.json", fit)
    return store
