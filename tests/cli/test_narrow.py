"""What `isoflop fit` and `compare` print fits a terminal of 80 columns, whatever is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.commands import compare
from isoflop.commands.fit import run
from tests.support import simulate


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


def test_names_that_begin_alike_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"outputs-of-a-sweep-with-a-long-name-{which}.csv" for which in ("one", "two")]
    for name in names:
        simulate.grid(0).to_csv(name, index=False)
    assert compare.run(names) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"A: {names[0]}", f"B: {names[1]}"]
    assert [line for line in lines[2:] if len(line) > 80] == []
