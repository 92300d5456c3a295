"""Commands leave the accelerator to the workers, which want nearly all of its memory, and keep what they
compile."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.commands import predict

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "line",
    [
        *(
            ["fit", "nowhere.csv"],
            ["compare", "nowhere.csv"],
            ["report", "nowhere.csv"],
            ["score", "nowhere"],
        ),
        ["register", "nowhere", "--flops", "1e15"],
        ["plan", "--next", "nowhere.csv"],
    ],
    ids=lambda line: line[0],
)
def test_a_command_that_computes_stays_off_it(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it reads what it is given."""
    asked = []
    name, *rest = line
    where = "next_runs" if "--next" in rest else name
    command = importlib.import_module(f"isoflop.commands.{where}")
    monkeypatch.setattr(command, "set_up_jax", lambda: asked.append(name))
    with pytest.raises(UserError):
        importlib.import_module(f"isoflop.commands.{name}").run(rest)
    assert asked == [name]


def test_a_prediction_by_a_law_of_ones_own_stays_off_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be written in JAX; the package's own laws answer without (tests/cli/test_light_imports.py)."""
    asked = []
    monkeypatch.setattr(predict, "set_up_jax", lambda: asked.append("predict"))
    own = tmp_path / "fit.json"
    fit = json.loads((ROOT / "docs" / "results" / "cpu-demo" / "fit.json").read_text())
    own.write_text(json.dumps(fit | {"law": str(tmp_path / "gone.py")}))
    with pytest.raises(UserError):
        predict.run([str(own), "--flops", "1e12"])
    assert asked == ["predict"]
    assert predict.run(["measured:cpu-demo", "--flops", "1e12"]) == 0
    assert asked == ["predict"]


def fitted(runs: Path, cache: Path) -> dict[str, float]:
    """Parameters that a fit in a process of its own finds; it has nothing to warn of."""
    done = subprocess.run(
        [sys.executable, "-m", "isoflop", "fit", str(runs), "--bootstrap", "0", "--json"],
        env=os.environ | {"ISOFLOP_CACHE": str(cache)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)["params"]


@pytest.mark.slow
def test_a_second_fit_finds_its_programs_and_gives_the_same_numbers(tmp_path: Path) -> None:
    runs = ROOT / "docs" / "results" / "cpu-demo" / "runs.csv"
    first = fitted(runs, tmp_path)
    compiled = sorted(path.name for path in (tmp_path / "compiled").glob("*-cache"))
    assert compiled
    assert fitted(runs, tmp_path) == first
    assert sorted(path.name for path in (tmp_path / "compiled").glob("*-cache")) == compiled
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert fitted(runs, in_the_way) == first
