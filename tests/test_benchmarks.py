"""Every benchmark runs from end to end at its small size, and so do the figures of docs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES
from tests.support.optional import lacking

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*command: str) -> str:
    """What a Python that starts in the clone prints."""
    variables = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, env=variables | {"PYTHONPATH": "."},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark(name: str) -> None:
    if name == "train" and not importlib.util.find_spec("torch"):
        lacking("torch")
    results = json.loads(run("-m", f"benchmarks.{name}", "--small", "--json").splitlines()[-1])
    assert results


def test_none_is_forgotten() -> None:
    """A file with a main of its own is a benchmark; the peer in PyTorch is one's process."""
    files = {path.stem for path in ROOT.glob("benchmarks/*.py") if "\ndef main()" in path.read_text()}
    folders = {path.parent.name for path in ROOT.glob("benchmarks/*/__main__.py")}
    assert set(NAMES) == (files | folders) - {"__main__", "torch_peer"}


def test_figures_are_drawn_beside_those_that_are_tracked(tmp_path: Path) -> None:
    assert str(tmp_path) in run("docs/draw.py", "--small", str(tmp_path))
    tracked = ROOT / "docs" / "figures"
    drawn = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")}
    assert drawn == {str(path.relative_to(tracked)) for path in tracked.rglob("*.png")} - {"family.png"}
    # family.png is benchmarks.family's
