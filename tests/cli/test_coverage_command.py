"""isoflop coverage: what it prints, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.base.errors import UserError
from isoflop.commands.coverage import run


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Forty problems, sixteen samples each."""
    rates = np.random.default_rng(0).beta(0.4, 1.5, 40)
    counts = np.random.default_rng(1).binomial(16, rates)
    frame = pd.DataFrame({"task_id": np.arange(40), "n": 16, "c": counts})
    frame.to_csv(tmp_path / "attempts.csv", index=False)
    return str(tmp_path / "attempts.csv")


def test_prints_one_object(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([table, "--columns", "problem=task_id", "--k", "64", "--budget", "4", "--bootstrap", "50", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [each["k"] for each in found["passes"]] == [1, 2, 5, 10, 16]
    assert found["extrapolated"][0]["k"] == 64
    assert found["allocation"]["samples"] <= 4
    assert len(found["allocation"]["bins"]) == 5
    assert found["passes"][-1]["standard_error"] is None
    assert {test["method"] for test in found["back_tests"]} == {"law", "tail"}


def test_prints_tables_that_paste(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([table, "--columns", "problem=task_id", "--bootstrap", "50", "--markdown"])
    assert "| k | pass@k | 95%, other problems | s.e., these problems |" in capsys.readouterr().out
    run([table, "--columns", "problem=task_id", "--bootstrap", "50"])
    assert "unrefuted up to k =" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "is no table of attempts: it needs problem, n and c"),
        (("--columns", "problem=task_id", "--budget", "0"), "a budget of 0 samples a problem"),
        (("--columns", "problem=task_id", "--k", "0"), "--k 0: the number of samples must be at least 1"),
        (("--columns", "problem=task_id", "--k", "2.5"), "--k 2.5: the number of samples must be whole"),
        (("--columns", "problem=task_id", "--level", "1"), "--level 1.0: must be below 1"),
        (("--columns", "problem=task_id", "--bootstrap", "3"), "--bootstrap 3: must be at least 20"),
        (
            ("--columns", "problem=task_id", "--where", "c=0", "--k", "64"),
            "no sample of any problem is right",
        ),
    ],
)
def test_refuses_in_a_line(table: str, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run([table, *words])
