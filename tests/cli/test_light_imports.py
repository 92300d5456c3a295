"""What costs seconds to import is imported by what needs it, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.__main__ import COMMANDS
from tests.support.imports import command, loaded

PANDAS = {"pandas", "pyarrow"}


@pytest.mark.parametrize(
    "line",
    [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in COMMANDS),
        ["plan", "cpu-demo", "--help"],
        ["sweep", "cpu-demo", "--help"],
        ["plan", "--next", "--help"],
        ["fit", "--no-such-option"],
    ],
    ids=" ".join,
)
def test_help_and_refusals_load_nothing_slow(line: list[str], tmp_path: Path) -> None:
    assert loaded(command(*line), tmp_path) == set()


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("import isoflop; isoflop.__version__; dir(isoflop); isoflop.UserError", set()),
        ("import isoflop.analysis; dir(isoflop.analysis)", set()),
        ("from isoflop.sweeps.grids.config import load_config; load_config('cpu-demo')", set()),
        ("from isoflop import load_runs; load_runs('runs.csv')", PANDAS),
        ("from isoflop import FitOptions; FitOptions()", PANDAS),
    ],
)
def test_names_load_what_they_need(code: str, needed: set[str], tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("n_params,n_tokens,loss\n1e4,1e6,3.0\n2e4,1e6,2.9\n")
    assert loaded(code, tmp_path) <= needed


@pytest.mark.parametrize(
    "line",
    [
        ["predict", "chinchilla:besiroglu", "--flops", "1e22", "--compare"],
        ["predict", "measured:cpu-demo", "--flops", "1e13", "--inference-tokens", "1e9"],
        ["laws", "kumar"],
    ],
    ids=lambda line: line[0],
)
def test_a_formula_is_evaluated_without_jax(line: list[str], tmp_path: Path) -> None:
    assert not loaded(command(*line), tmp_path) & {"jax", "jaxlib", "matplotlib"}
