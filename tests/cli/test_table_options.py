"""The options of a table of runs: the same in every command that reads one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop import analysis
from isoflop.analysis import RunTable
from isoflop.base.errors import UserError
from isoflop.commands import compare, fit, next_runs, report

ROWS = 8


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Runs under names that no rule knows, of two data sets."""
    N = np.geomspace(1e7, 1e9, ROWS)
    frame = pd.DataFrame({"size": N, "seen": 20 * N, "score": 1.8 + 400 / N**0.34, "text": ["a", "b"] * 4})
    path = tmp_path / "foreign.csv"
    frame.to_csv(path, index=False)
    return path


def loaded_by(command: str, path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> list[RunTable]:
    """The tables that a command reads, without the work that it does on them."""
    tables: list[RunTable] = []

    class EnoughError(Exception):
        pass

    def take(*items: object, **_: object) -> None:
        tables.extend(item for item in items if isinstance(item, RunTable))
        raise EnoughError

    for work in ("fit", "report", "compare", "next_runs"):
        monkeypatch.setattr(analysis, work, take)
    module = {"fit": fit, "report": report, "compare": compare, "next": next_runs}[command]
    with pytest.raises(EnoughError):
        module.run([str(path)] * (2 if command == "compare" else 1) + list(options))
    return tables


@pytest.mark.parametrize("command", ["fit", "report", "compare", "next"])
def test_every_reader_takes_the_options_of_a_table(
    command: str, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = loaded_by(
        command, foreign, monkeypatch,
        "--columns", "n_params=size,n_tokens=seen,loss=score", "--where", "text=a", "--flops", "6nd",
    )  # fmt: skip
    assert [len(table) for table in tables] == [ROWS // 2] * (2 if command == "compare" else 1)
    assert {table.conventions.flops for table in tables} == {"6nd"}


def test_options_of_a_table_are_not_for_two_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_open", lambda name, options: object())
    with pytest.raises(UserError, match=r"--where is for tables"):
        compare.run(["fit.json", "fit.json", "--where", "a=b"])
