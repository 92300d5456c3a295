"""Rows chosen by `--where`, and what a run's status says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import RunTable, UserError, load_runs

ROWS = 8
N = np.geomspace(1e7, 1e9, ROWS)


def loaded(path: Path, where: str | None = None, **columns: Any) -> RunTable:
    """Eight runs with more columns, written and read again."""
    frame = pd.DataFrame({"params": N, "tokens": 20 * N, "loss": 2 + 100 / N**0.3}).assign(**columns)
    frame.to_csv(path / "runs.csv", index=False)
    return load_runs(path / "runs.csv", where=where)


FLAGS = {
    "True and False": [False] * 6 + [True] * 2,
    "true and false": ["false"] * 6 + ["true"] * 2,
    "yes and no": ["no"] * 6 + ["yes"] * 2,
    "0 and 1": [0] * 6 + [1] * 2,
    "floats": [0.0] * 6 + [1.0] * 2,
}


@pytest.mark.parametrize("cells", FLAGS.values(), ids=FLAGS.keys())
@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("outlier=False", 6), ("outlier=false", 6), ("outlier=no", 6), ("outlier=0", 6),
        ("outlier=TRUE", 2), ("outlier=yes", 2), ("outlier = 1", 2), ("outlier!=true", 6),
    ],
)  # fmt: skip
def test_truth_values_are_understood_in_any_spelling(
    tmp_path: Path, cells: list, where: str, rows: int
) -> None:
    assert len(loaded(tmp_path, where, outlier=cells)) == rows


def test_an_empty_flag_is_neither(tmp_path: Path) -> None:
    cells = [True, True, None, None, None, False, False, False]
    assert len(loaded(tmp_path, "outlier=false", outlier=cells)) == 3
    assert len(loaded(tmp_path, "outlier!=true", outlier=cells)) == 6
    assert len(loaded(tmp_path, "outlier!=", outlier=cells)) == 5


CONDITIONS = {
    "text=a": 4, "text='a'": 4, 'text="a"': 4, "text!=a": 4, "text=a,tokens<1e9": 2, "tokens >= 1e9": 5,
    "lr=1e-3": 8, "lr=0.001": 8, "note='b, c'": 8, "text!=": 8, "x=y=2": 8,
}  # fmt: skip


@pytest.mark.parametrize(("where", "rows"), CONDITIONS.items(), ids=CONDITIONS.keys())
def test_conditions(tmp_path: Path, where: str, rows: int) -> None:
    more = {"text": ["a", "b"] * 4, "lr": 1e-3, "note": "b, c", "x=y": 2}
    assert len(loaded(tmp_path, where, **more)) == rows


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("text", "write column=value"),
        ("text=", "write column=value"),
        ("size=3", "no such column; it has params, tokens, loss"),
        ("text=z", "no row of .* has it; text is a, b"),
        ("tokens<many", "'many' is no number"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(tmp_path: Path, where: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        loaded(tmp_path, where, text=["a", "b"] * 4)


def test_a_flag_that_marks_rows_of_the_fit_is_said(tmp_path: Path) -> None:
    (line,) = [w for w in loaded(tmp_path, diverged=[False] * 7 + [True]).warnings if "diverged" in w]
    assert "true in 1 of 8 rows" in line
    assert "--where 'diverged!=true'" in line
    assert len(loaded(tmp_path, "diverged!=true", diverged=[False] * 7 + [True])) == 7


ENDS = {
    "Ray Tune": ("TERMINATED", ["ERROR", "PENDING", "RUNNING", "PAUSED"]),
    "SLURM": (
        "COMPLETED",
        ["FAILED", "CANCELLED by 1000", "TIMEOUT", "OUT_OF_MEMORY", "OUT_OF_ME+", "NODE_FAIL", "PREEMPTED"],
    ),
    "MLflow": ("FINISHED", ["FAILED", "KILLED", "RUNNING", "SCHEDULED"]),
    "Optuna": ("COMPLETE", ["PRUNED", "FAIL", "RUNNING", "WAITING"]),
    "Optuna's own objects": ("TrialState.COMPLETE", ["TrialState.PRUNED", "TrialState.FAIL"]),
    "W&B": ("finished", ["crashed", "failed", "killed", "running", "preempted"]),
    "a person": ("Done", ["diverged", "out of memory", "Time-out"]),
}


@pytest.mark.parametrize(("end", "others"), ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("column", ["status", "State"])
def test_the_words_for_a_runs_end(tmp_path: Path, column: str, end: str, others: list[str]) -> None:
    table = loaded(tmp_path, None, **{column: [*others, *[end] * (ROWS - len(others))]})
    assert len(table) == ROWS - len(others)
    assert not any("neither finished nor failed" in line for line in table.warnings)
    assert any(f"{len(others)} of 8 rows are not finished" in line for line in table.warnings)


def test_words_that_say_neither_are_counted_and_can_be_chosen(tmp_path: Path) -> None:
    cells = ["finished"] * 4 + ["archived"] * 3 + ["failed"]
    table = loaded(tmp_path, status=cells)
    assert len(table) == 4
    (line,) = [w for w in table.warnings if "neither finished nor failed" in w]
    assert "archived 3" in line
    assert "--where status=archived" in line
    assert len(loaded(tmp_path, "status=archived", status=cells)) == 3
    with pytest.raises(UserError, match=r"no finished run among 8 rows; their status: archived 8"):
        loaded(tmp_path, status="archived")
    with pytest.raises(UserError, match="no finished run"):
        loaded(tmp_path, "status=failed", status=cells)
