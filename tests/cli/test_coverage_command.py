"""isoflop coverage: what it prints, and what it refuses in one line."""

from __future__ import annotations

import json
import re
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
    signals = {"probe": rates, "first": 2, "first_right": (counts > 8).astype(int), "first_reward": rates}
    frame = pd.DataFrame({"task_id": np.arange(40), "n": 16, "c": counts, **signals})
    frame.to_csv(tmp_path / "attempts.csv", index=False)
    return str(tmp_path / "attempts.csv")


def test_prints_one_object(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([table, "--columns", "problem=task_id", "--k", "64", "--budget", "4", "--bootstrap", "50", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [each["k"] for each in found["passes"]] == [1, 2, 5, 10, 16]
    assert found["extrapolated"][0]["k"] == 64
    assert found["allocation"]["samples"] <= 4
    assert len(found["allocation"]["bins"]) == 5
    ways = [each["way"] for each in found["spending"]["ways"]]
    assert len(ways) == 5
    assert "until the first right one" in ways
    assert found["passes"][-1]["standard_error"] is None
    assert {test["method"] for test in found["back_tests"]} == {"law", "tail"}


def test_prints_tables_that_paste(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([table, "--columns", "problem=task_id", "--bootstrap", "50", "--markdown"])
    assert "| k | pass@k | 95%, other problems | s.e., these problems |" in capsys.readouterr().out
    run([table, "--columns", "problem=task_id", "--bootstrap", "50"])
    assert "unrefuted up to k =" in capsys.readouterr().out


def test_signals_of_the_table_make_bins(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--columns", "problem=task_id", "--bootstrap", "20", "--difficulty", "probe", "first_reward"]
    run([table, *words, "--budget", "2"])
    printed = capsys.readouterr().out
    assert "by bins of probe" in printed
    assert re.search(r"by bins of first_reward +the price leaves nothing", printed)


def test_a_table_too_small_to_be_judged_on_others_is_split_all_the_same(
    table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--columns", "problem=task_id", "--bootstrap", "20", "--budget", "2", "--where", "c=0"]
    run([table, *small, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["spending"] is None
    assert len(found["allocation"]["bins"]) == 5
    with pytest.raises(UserError, match=r"5 bins of \d+ problems"):
        run([table, *small, "--difficulty", "probe"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "is no table of attempts: it needs problem, n and c"),
        (("--columns", "problem=task_id", "--budget", "0"), "a budget of 0 samples a problem"),
        (("--columns", "problem=task_id", "--difficulty", "probe"), "give --budget too"),
        (
            ("--columns", "problem=task_id", "--budget", "2", "--difficulty", "reward"),
            "has no column reward with a number a problem",
        ),
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
