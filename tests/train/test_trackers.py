"""What the trackers write of a cell."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small import small_recipe
from tests.train.wandb_file import Run, read_run
from train.corpus import Corpus
from train.result import Clock, curve, measured
from train.spec import CellSpec, to_json
from train.trackers import open_tracker

Cell = tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def cell(corpus: Corpus) -> Cell:
    """Config, curve and row of a finished cell."""
    spec = CellSpec(small_recipe(corpus), 300)
    losses = np.linspace(5, 2, 300, dtype=np.float32)
    windows = np.array([1.0, 2.0], dtype=np.float32)
    metrics = {"loss": losses, "grad_norm": losses / 10}
    result = measured(
        spec, corpus, windows=windows, metrics=metrics, clock=Clock(3.0, 1.0, 0.01), device="cpu"
    )
    row = {"trunk_id": spec.cell_id, "sweep": "s", "role": "grid", "budget": 1e9, "flops_spent": 1e9}
    return to_json(spec), curve(spec, metrics, losses), row | to_json(result)


TELL = """
import json, sys
from pathlib import Path
from train.trackers import open_tracker, wandb
said = []
wandb.INIT_SECONDS = 3
folder, cells = json.load(sys.stdin)
tracker = open_tracker("wandb", sweep="my-sweep", folder=Path(folder), warn=said.append)
for cell in cells:
    tracker.cell(*cell)
tracker.close()
json.dump(said, sys.stdout)
"""


def tell_afresh(folder: Path, *cells: Cell, **environment: str) -> list[str]:
    """Tells W&B of cells from a process of its own, for W&B reads its environment once."""
    done = subprocess.run(
        [sys.executable, "-c", TELL],
        input=json.dumps([str(folder), cells]),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tell(folder: Path, *cells: Cell, name: str = "wandb", sweep: str = "my-sweep") -> list[str]:
    """Tells a tracker of cells; what it had to say."""
    said: list[str] = []
    with contextlib.closing(open_tracker(name, sweep=sweep, folder=folder, warn=said.append)) as tracker:
        for cell in cells:
            tracker.cell(*cell)
    return said


def runs_in(folder: Path) -> list[Run]:
    """The runs that W&B wrote there."""
    return [read_run(path) for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]


def test_json_lines_grow_by_a_line_a_cell(cell: Cell, tmp_path: Path) -> None:
    for _ in range(2):
        assert tell(tmp_path, cell, name="jsonl") == []
    lines = [json.loads(line) for line in (tmp_path / "cells.jsonl").read_text().splitlines()]
    assert lines == 2 * [{"row": cell[2], "config": cell[0], "curve": cell[1]}]


def check_run(run: Run, cell: Cell) -> None:
    """The run holds the whole cell."""
    config, points, row = cell
    assert run.group == "my-sweep"
    assert run.project == "isoflop"
    assert row["cell_id"] in run.run_id
    assert {key: run.config[key] for key in config} == config
    for key, value in row.items():
        assert value is None or run.summary[key] == value, key
    assert run.axes == {"train_loss": "tokens", "train_loss_by_flops": "flops"}
    assert [point["train_loss"] for point in run.history] == [point["train_loss"] for point in points]
    for axis in ("tokens", "flops", "lr"):
        assert [point[axis] for point in run.history] == [point[axis] for point in points]


@pytest.mark.slow
def test_wandb_offline_holds_the_row_the_curve_and_the_spec(cell: Cell, tmp_path: Path) -> None:
    other = (cell[0], cell[1][:5], cell[2] | {"cell_id": "f" * 16})
    assert tell_afresh(tmp_path, cell, other) == []
    runs = sorted(runs_in(tmp_path), key=lambda run: -len(run.history))
    assert len(runs) == 2
    check_run(runs[0], cell)
    check_run(runs[1], other)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of loopback that nobody answers at: bound, and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.slow
def test_wandb_out_of_reach_goes_on_offline_with_one_warning(
    cell: Cell, tmp_path: Path, closed_port: int
) -> None:
    nobody = {"WANDB_BASE_URL": f"http://127.0.0.1:{closed_port}", "WANDB_API_KEY": "0" * 40}
    other = (cell[0], cell[1][:5], cell[2] | {"cell_id": "f" * 16})
    said = tell_afresh(tmp_path, cell, other, WANDB_MODE="online", **nobody)
    assert len(said) == 1
    assert "W&B can't be reached" in said[0]
    assert "offline" in said[0]
    assert "\n" not in said[0]
    found = {run.run_id: run for run in runs_in(tmp_path) if run.history}
    assert len(found) == 2
    check_run(next(run for name, run in found.items() if cell[2]["cell_id"] in name), cell)
