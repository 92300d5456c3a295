"""`isoflop plan --next`: what it says of a table, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.commands import fit
from isoflop.commands.plan import run
from tests.support import simulate
from tests.support.surfaces import spread_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("next") / "runs.csv"
    simulate.grid(0).to_csv(path, index=False)
    return str(path)


def test_in_words(runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--next", runs, "--target", "a", "--half-width", "0.03"]) == 0
    first, second, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("a 0.4679 [0.4269, 0.5096], by isoflop fit")
    assert "wanted 0.03" in second
    assert last.startswith("together")


@pytest.fixture(scope="module")
def with_outliers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Runs that stand alone, a few of which ended far above the law."""
    frame = spread_runs(80, 0.006)
    frame.loc[np.argsort(frame["n_tokens"].to_numpy())[:4], "loss"] *= 1.4
    path: Path = tmp_path_factory.mktemp("outliers") / "runs.csv"
    frame.to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("table", ["runs", "with_outliers"])
def test_it_rests_on_the_fit_that_the_user_sees(
    table: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    path = request.getfixturevalue(table)
    assert fit.run([path, "--json"]) == 0
    fitted = json.loads(capsys.readouterr().out)
    assert run(["--next", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["estimate"] == fitted["exponents"]["a"]
    assert found["interval"] == fitted["intervals"]["exponents"]["a"]
    assert found["misfit"] == fitted["misfit"]
    assert found["run_sd"] < 0.008  # as without the outliers


def test_lines_fit_a_narrow_terminal(runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--next", runs]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_as_json(runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([runs, "--next", "--target", "n_opt@1e14", "--max-flops", "1e12", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == "n_opt@1e+14"
    assert found["half_width_wanted"] == 0.1
    assert found["half_width_after"] < found["half_width"]
    assert sum(r["flops"] for r in found["runs"]) == pytest.approx(found["flops"])
    assert found["flops"] <= 1e12 < found["flops_to_target"]
    assert {"n_params", "n_tokens", "budgets", "trunk", "seeds", "half_width", "why"} <= set(found["runs"][0])


@pytest.mark.parametrize("words", [["--target", "n_opt"], ["--half-width", "0"], ["--max-flops", "-1"]])
def test_bad_input_is_one_line(runs: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        run(["--next", runs, *words])
    assert "\n" not in str(caught.value)
