"""What the trackers write of a cell."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.base.json_values import to_json
from isoflop.sweeps.row import Row
from isoflop.sweeps.trackers import load_tracker
from isoflop.sweeps.trackers.wandb_run import cell_run
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import Clock, Evaluation, curve, measured
from isoflop.train.spec import CellSpec
from tests.support.made_up import row_of
from tests.support.small import small_recipe
from tests.support.wandb_file import Run, read_run

Cell = tuple[dict[str, Any], list[dict[str, Any]], Row]


@pytest.fixture
def cell(corpus: Corpus) -> Cell:
    """Config, curve and row of a finished cell."""
    spec = CellSpec(small_recipe(corpus), 300)
    losses = np.linspace(5, 2, 300, dtype=np.float32)
    evaluation = Evaluation(np.array([1.0, 2.0], np.float32), np.array([0.4, 0.2], np.float32))
    metrics = {"loss": losses, "grad_norm": losses / 10}
    result = measured(
        spec, corpus, evaluation=evaluation, metrics=metrics, clock=Clock(3.0, 1.0, 0.01), device="cpu"
    )
    row = replace(row_of(spec, "grid", "", result), budget=1e9)
    return to_json(spec), curve(spec, metrics, losses), row


def changed(cell: Cell, points: int | None = None, **row: Any) -> Cell:
    """The cell with fewer points, or with other values in its row."""
    return cell[0], cell[1][:points], replace(cell[2], **row)


def log(folder: Path, *cells: Cell, name: str = "wandb", sweep: str = "my-sweep") -> list[str]:
    """Log cells to a tracker; return what it had to say."""
    said: list[str] = []
    with contextlib.closing(load_tracker(name)(sweep, folder, said.append)) as tracker:
        for cell in cells:
            tracker.log_cell(*cell)
    return said


def runs_in(folder: Path) -> list[Run]:
    """The runs that W&B wrote there."""
    return [read_run(path) for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]


def test_json_lines_grow_by_a_line_a_cell(cell: Cell, tmp_path: Path) -> None:
    other = changed(cell, cell_id="f" * 16)
    path = tmp_path / "cells.jsonl"
    assert log(tmp_path, cell, cell, name="jsonl") == []
    path.write_bytes(
        path.read_bytes() + b'{"row": {"cell_id"'
    )  # a process was killed in the middle of a line
    assert log(tmp_path, other, cell, name="jsonl") == []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {"row": row.to_dict(), "config": config, "curve": points} for config, points, row in (cell, other)
    ]


def test_a_cell_that_failed_and_then_finished_has_a_line_of_each(cell: Cell, tmp_path: Path) -> None:
    for each in (changed(cell, status="failed"), cell, cell):
        log(tmp_path, each, name="jsonl")
    lines = [json.loads(line) for line in (tmp_path / "cells.jsonl").read_text().splitlines()]
    assert [line["row"]["status"] for line in lines] == ["failed", "finished"]


def check_run(run: Run, cell: Cell) -> None:
    """The run holds the whole cell."""
    config, points, row = cell
    assert (run.group, run.project, run.job_type) == ("alice", "isoflop", row.role)
    assert run.run_id == f"alice-{row.cell_id}"
    assert {key: run.config[key] for key in config} == config
    for key, value in row.to_dict().items():
        assert value is None or run.summary[key] == value, key
    assert run.summary["log10_flops"] == math.log10(row.flops)
    axes = dict.fromkeys(("train_loss", "lr", "grad_norm"), "tokens")
    assert run.axes == axes | {"train_loss_by_flops": "flops"}
    assert [point["train_loss"] for point in run.history] == [point["train_loss"] for point in points]
    for axis in ("tokens", "flops", "lr"):
        assert [point[axis] for point in run.history] == [point[axis] for point in points]


@pytest.mark.slow
def test_wandb_offline_holds_the_row_the_curve_and_the_spec(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_GROUP", "alice")
    other = changed(cell, 5, cell_id="f" * 16)
    (tmp_path / "wandb" / f"offline-run-20260101_000000-alice-{'f' * 16}").mkdir(parents=True)
    assert log(tmp_path, cell, other, cell) == []
    runs = sorted(runs_in(tmp_path), key=lambda run: -len(run.history))
    assert len(runs) == 2
    check_run(runs[0], cell)
    check_run(runs[1], other)
    assert runs[1].tags == ["C=1e+09", "wsd", f"trunk-{cell[2].trunk_id[:8]}"]
    assert runs[1].name == "d8 C=1e+09 grid s0 ffffff"
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


def test_groups_that_an_id_cannot_hold_stay_apart(cell: Cell) -> None:
    row = replace(cell[2], cell_id="f" * 16, status="failed")
    runs = [cell_run(group, {}, (), row) for group in ("a/b", "a:b", "a" * 200, "a" * 201)]
    assert len({run.id for run in runs}) == 4
    assert all(len(run.id) <= 128 and set(run.id) <= set("ab-.0123456789abcdef") for run in runs)
    assert all(run.failed and "failed" in run.tags for run in runs)


def test_wandb_disabled_writes_nothing(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert log(tmp_path, cell) == []
    assert not list(tmp_path.iterdir())
