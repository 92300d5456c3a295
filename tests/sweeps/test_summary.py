"""The last lines of a sweep: what is doubtful comes first, and numbers have their intervals and methods."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from isoflop.sweeps.progress.summary import closing_lines

FLOPS = {"grid": 6e12, "tuning": 1e12, "checks": 1e12, "total": 8e12, "fresh_cosine": 1e13}


def folder(path: Path, losses: tuple[float, ...] = (2.0, 1.9, 2.1), **summary: Any) -> Path:
    """A sweep of one budget at widths 8, 16, ..."""
    rows = [
        {"status": "finished", "role": "grid", "budget": 1e11, "loss": loss, "d_model": 8 * (k + 1)}
        for k, loss in enumerate(losses)
    ]
    with (path / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    rate = {"warnings": [], "checked": None}
    (path / "summary.json").write_text(
        json.dumps({"flops": FLOPS, "learning_rate": rate, "rounds": []} | summary)
    )
    return path


def test_a_quiet_sweep_says_its_cells_and_its_bill(tmp_path: Path) -> None:
    assert closing_lines(folder(tmp_path)) == [
        "cells: 3 finished",
        "FLOPs: 8e+12; the grid 40% less than fresh runs",
    ]


def test_doubts_come_first(tmp_path: Path) -> None:
    rate = {
        "warnings": ["width 8 is best at the edge of its rates"],
        "checked": {"warning": "twice the rate is better"},
    }
    lines = closing_lines(folder(tmp_path, losses=(1.9, 2.0, 2.1), learning_rate=rate))
    assert [line.partition(":")[0] for line in lines] == ["look at", "look at", "look at", "cells", "FLOPs"]
    assert "the smallest width, 8, is best" in lines[2]


def test_an_adaptive_sweep_names_target_method_level_and_warnings(tmp_path: Path) -> None:
    last = {
        "estimate": 0.585,
        "interval": [0.565, 0.605],
        "why": "as wanted",
        "warnings": ["the law is in doubt"],
    }
    asked = {"target": "a", "level_at_a_look": 0.9875}
    lines = closing_lines(folder(tmp_path, rounds=[last], adaptive=asked))
    assert lines[0] == "look at: the law is in doubt"
    assert lines[1].startswith(
        "a = 0.585 [0.565, 0.605] at 98.75% by least squares with trunk effects, after 1"
    )


def test_a_grid_dearer_than_fresh_runs_is_not_called_a_saving(tmp_path: Path) -> None:
    assert closing_lines(folder(tmp_path, flops=FLOPS | {"grid": 1.1e13}))[-1].endswith(
        "10% more than fresh runs"
    )
    assert closing_lines(folder(tmp_path, flops=FLOPS | {"grid": 1e13}))[-1] == "FLOPs: 8e+12"
