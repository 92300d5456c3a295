"""The project's own tables by name, from any folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from isoflop.analysis import UserError, load_runs, predict, read_fit
from isoflop.analysis.reporting.report import _default_folder
from isoflop.analysis.reporting.sweep_folder import read_sweep
from isoflop.analysis.sources.measured import known_measured
from tests.docs.commands import ROOT


@pytest.mark.parametrize("name", known_measured())
def test_a_table_is_that_of_the_docs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (ROOT / "docs" / "results" / name / "runs.csv").is_file()
    if name != "family":  # widths and what they cost: no runs to be fitted
        table = load_runs(f"measured:{name}")
        rows = pd.read_csv(ROOT / "docs" / "results" / name / "runs.csv")
        assert len(table.rows) == len(rows)
        assert table.source == f"measured:{name}"


def test_its_fit_and_its_sweeps_extras_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = load_runs("measured:cpu-demo")
    assert read_sweep(table).tuning is not None
    assert read_fit("measured:cpu-demo").n_runs == len(table)
    assert predict("measured:cpu-demo", 1e13).n_opt > 1e5
    assert _default_folder(table) == Path("outputs/cpu-demo")  # never the package's own folder


def test_an_unknown_name() -> None:
    with pytest.raises(UserError, match="unknown table measured:nobody: known are"):
        load_runs("measured:nobody")
