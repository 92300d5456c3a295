"""Weights & Biases from end to end, against a stand-in server on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import load_runs
from isoflop.__main__ import _run
from sweeps.mirror import Mirror
from sweeps.progress import Reporter
from sweeps.store import Store
from sweeps.table import to_csv
from sweeps.teller import read_rows
from tests.small import small_model, small_recipe, small_sweep
from tests.train.wandb_file import read_run
from tests.wandb_server import Server, StoredRun, serving
from train.corpus import Corpus
from train.result import Clock, curve, measured, unfinished
from train.spec import CellSpec, to_json
from train.trackers import wandb as wandb_tracker

STEPS = (100, 200)
TRUNK = "0123456789abcdef"
POINTS = 30


def row_of(cell: CellSpec, corpus: Corpus, role: str, trunk: str, result: Any) -> dict[str, Any]:
    place = {
        "cell_id": cell.cell_id,
        "trunk_id": trunk or cell.cell_id,
        "sweep": "small",
        "role": role,
        "budget": float(f"{cell.flops:.1g}"),
        "lr_rule": "0.06 * width^-0.5",
        "flops_spent": cell.flops * 0.7,
    }
    return place | to_json(result)


def train(cell: CellSpec, corpus: Corpus, store: Store, role: str, trunk: str = "") -> dict[str, Any]:
    """A cell that finished as a law of its size and length would have it, in the sweep's folder."""
    N, D = cell.recipe.ledger.params(), cell.tokens
    loss = 1.5 + 30 * N**-0.4 + 40 * D**-0.4
    metrics = {
        name: np.linspace(5, loss, cell.steps, dtype=np.float32) / scale
        for name, scale in (("loss", 1), ("grad_norm", 10))
    }
    windows = np.array([loss - 0.1, loss + 0.1], dtype=np.float32)
    clock = Clock(3.0, 1.0, 0.01)
    result = measured(cell, corpus, windows=windows, metrics=metrics, clock=clock, device="cpu")
    points = curve(cell, metrics, metrics["loss"])[:: cell.steps // POINTS]
    store.write_json(f"cells/{cell.cell_id}/cell.json", {"cell": to_json(cell), "result": to_json(result)})
    store.write_text(f"cells/{cell.cell_id}/curve.jsonl", "".join(json.dumps(p) + "\n" for p in points))
    return row_of(cell, corpus, role, trunk, result)


@pytest.fixture
def store(corpus: Corpus, tmp_path: Path) -> Store:
    """A sweep's folder: four grid cells of two trunks, one that diverged, a tuning cell, and a report."""
    store = Store.open(tmp_path / "out", small_sweep("nowhere"))
    recipes = [small_recipe(corpus, model=small_model(width)) for width in (8, 16)]
    grid = [
        train(CellSpec(recipe, steps), corpus, store, "grid", f"{i}{TRUNK[1:]}")
        for i, recipe in enumerate(recipes)
        for steps in STEPS
    ]
    wild = CellSpec(small_recipe(corpus, init_seed=1), 100)
    nothing = unfinished(wild, corpus, "diverged", "loss not finite at step 7")
    grid.append(row_of(wild, corpus, "replicate", "", nothing))
    tuning = train(CellSpec(small_recipe(corpus, init_seed=2), 100, "tune"), corpus, store, "tune")
    store.write_text("runs.csv", to_csv(grid))
    store.write_text("tuning.csv", to_csv([tuning]))
    store.write_text("report.html", "<p>the report</p>")
    store.write_text("figures/isoflop.png", "not really")
    fit = {"law": "chinchilla", "params": {"E": 1.5, "alpha": 0.4}, "exponents": {"a": 0.5}}
    store.write_json("fit.json", fit)
    return store


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that this process and those that it starts are logged in to."""
    with serving() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def mirrored(store: Store, names: tuple[str, ...] = ("wandb",), finish: bool = False) -> list[str]:
    """Mirrors the folder's cells in this process; what there was to say."""
    said: list[str] = []
    reporter = Reporter()
    reporter.say = lambda text, style="": said.append(text)
    with contextlib.closing(Mirror(names, "small", store, reporter)) as mirror:
        for row in read_rows(store):
            mirror.put(row)
        if finish:
            mirror.finish()
    return said


def check_points(run: StoredRun, store: Store, cell_id: str) -> None:
    """The run has the cell's curve, each point once."""
    lines = (store.cell(cell_id) / "curve.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines]
    assert [row["_step"] for row in run.history] == [point["step"] for point in points]
    for key in ("tokens", "flops", "train_loss", "lr", "grad_norm"):
        assert [row[key] for row in run.history] == [point[key] for point in points], key
    assert run.state == "finished"


def check_rows(server: Server, store: Store) -> None:
    """Every row has its run, and the run holds the row."""
    rows = read_rows(store)
    cells = {run.name: run for run in server.runs.values() if run.job_type != "report"}
    assert set(cells) == {f"small-{row['cell_id']}" for row in rows}
    for row in rows:
        run = cells[f"small-{row['cell_id']}"]
        for key, value in row.items():
            assert value is None or run.summary[key] == value, key
        for key in ("d_model", "n_layers", "n_params_non_embedding", "n_tokens", "flops", "lr", "budget", "role"):
            assert run.values[key] == row[key]
        if row["status"] == "finished":
            check_points(run, store, row["cell_id"])
        else:
            assert (run.state, run.points) == ("failed", {})
    assert not server.unknown - {"/sdk/otel/v1/metrics"}


@pytest.mark.slow
def test_a_sweep_online(server: Server, store: Store) -> None:
    assert mirrored(store, finish=True) == [], server.unknown
    check_rows(server, store)
