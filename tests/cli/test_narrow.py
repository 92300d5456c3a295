"""What `isoflop fit` prints fits a terminal of 80 columns, whatever is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.commands.fit import run
from tests.analysis import simulate


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("narrow") / "runs.csv"
    simulate.grid(0).to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--approach", "1"],
        ["--approach", "2"],
        ["--compete", "--bootstrap", "40"],
        ["--holdout", "1.3e12"],
        ["--approach", "2", "--holdout", "1.3e12"],
        ["--check-coverage", "--simulations", "20", "--bootstrap", "20"],
    ],
)
def test_lines_are_at_most_80_columns(
    runs: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([runs, *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 8
    assert [line for line in lines if len(line) > 80] == []
