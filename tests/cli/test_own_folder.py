"""A folder of the user's own, full of files named like our parts: none of them is ever run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import isoflop

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("isoflop")
NAMES = sorted(
    {path.stem for path in ROOT.glob("isoflop/*") if not path.name.startswith("_")}
    | {"data", "labs", "tests", "benchmarks", "utils", "model", "tokenizers", "corpus", "queue", "types"}
)
"""Our packages and modules, what else users call theirs, and two of the standard library."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Each file says that it was run; `config.py` is a sweep."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(
            f"open('ran-{name}', 'w').close()\nraise RuntimeError('ran {name}')\n"
        )
    return tmp_path


def ran(folder: Path) -> list[str]:
    """Which of the user's files were run."""
    return sorted(path.name for path in folder.glob("ran-*"))


def test_the_names_are_ours() -> None:
    assert {"train", "models", "sweeps", "analysis", "base", "running"} <= set(NAMES)


def test_the_command_line_in_such_a_folder(folder: Path) -> None:
    (folder / "runs.csv").write_text(
        "n_params,n_tokens,loss\n"
        + "\n".join(f"{n},{d},{2 + n**-0.3 + d**-0.3}" for n in (1e4, 3e4, 1e5) for d in (1e6, 3e6, 1e7))
    )
    for line in (["--help"], ["data", "list"], ["fit", "runs.csv", "--bootstrap", "0"]):
        done = subprocess.run([COMMAND, *line], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert ran(folder) == []


@pytest.mark.slow
def test_a_sweep_in_such_a_folder(folder: Path, source_name: str) -> None:
    """Its workers too, on real processes."""
    (folder / "my_sweep.py").write_text(
        "from isoflop import ModelOptions, Rates, SweepConfig\n"
        "SWEEP = SweepConfig(name='mine', title='Mine', budgets=(2e8,), ladder=(8,), sizes=1, seeds=1,\n"
        "    centre_width=8, centre_budget=2e8, parametrization='standard', rates=Rates(coefficient=0.06),\n"
        f"    data={source_name!r}, model=ModelOptions(context_length=32), batch_size=4, eval_windows=64,\n"
        "    tune_windows=64, checks=False)\n"
    )
    line = [COMMAND, "sweep", "my_sweep.py", "--no-report"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (folder / "outputs" / "mine" / "runs.csv").exists()
    assert ran(folder) == []


def test_a_notebooks_import_in_such_a_folder(folder: Path) -> None:
    """A notebook has its folder first on the path. The standard library's names there break any program."""
    for name in ("queue", "types"):
        (folder / f"{name}.py").unlink()
    (folder / "isoflop.py").unlink(missing_ok=True)
    code = "import isoflop; [getattr(isoflop, name) for name in dir(isoflop)]; import isoflop.sweeps.run"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ran(folder) == []


def test_every_public_name_is_there() -> None:
    assert {"fit", "plan", "sweep", "UserError"} <= set(dir(isoflop))
    for name in dir(isoflop):
        assert getattr(isoflop, name) is not None
