"""The model that a fit calls for, and the command that trains it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.commands.sweep import SweepArguments, parse_with_config
from isoflop.models import ledger
from isoflop.sweeps.forecasts.command_line import UNKNOWN, going_on, sweep_command
from isoflop.sweeps.forecasts.family_shapes import family_shapes
from isoflop.sweeps.forecasts.rung import Rung, rung_at
from isoflop.sweeps.grids.config import SweepConfig, load_config
from isoflop.sweeps.plan import make_plan
from tests.support.in_process import Runner

BUDGET = 2e9


@pytest.fixture
def own(tmp_path: Path, source_name: str) -> Path:
    """The small sweep as a file of the user's own."""
    path = tmp_path / "own.py"
    path.write_text(f"from tests.support.small import small_sweep\nSWEEP = small_sweep({source_name!r})\n")
    return path


@pytest.fixture
def folder(run: Runner, own: Path, tmp_path: Path) -> Path:
    """Its folder, as `isoflop sweep own.py --seed 3` leaves it."""
    out = tmp_path / "out"
    run(load_config(str(own)).with_options(seed=3), out)
    entry = {"command": ["isoflop", "sweep", str(own), "--seed", "3", "--out", str(out)]}
    with (out / "provenance.jsonl").open("a") as log:
        log.write(json.dumps(entry) + "\n")
    return out


def config_of(command: str) -> SweepConfig:
    """What a command line asks for."""
    words = shlex.split(command)
    assert words[:2] == ["isoflop", "sweep"]
    return parse_with_config(SweepArguments, words[2:], "sweep").config


def test_the_command_trains_the_very_cell(run: Runner, folder: Path) -> None:
    rung = rung_at(folder, BUDGET, 1e4, "non_embedding")
    config = config_of(rung.command)
    (planned,) = make_plan(config, run.corpus).grid
    assert planned.cell.cell_id == rung.cell_id
    assert config.seed == 3
    model = planned.cell.recipe.model
    assert (rung.width, rung.depth, rung.heads, rung.ff_width) == (
        model.width,
        model.depth,
        model.heads,
        model.ff_width,
    )
    assert rung.n_tokens == rung.steps * rung.batch_tokens
    assert rung.decay_steps == round(0.2 * rung.steps)
    assert planned.cell.flops == pytest.approx(BUDGET, rel=0.02)


def test_the_width_is_the_familys_nearest(run: Runner, folder: Path) -> None:
    def width_at(n_opt: float) -> int:
        return rung_at(folder, BUDGET, n_opt, "total").width

    config = load_config(str(folder.parent / "own.py"))
    sizes = {w: ledger(config.model_at(w, run.corpus)).params("total") for w in (8, 16, 24, 32)}
    assert [width_at(n) for n in sizes.values()] == list(sizes)  # the ladder ends at 24
    assert width_at(1.0) == config.ladder[0]


def test_time_and_memory_are_of_the_sweeps_own_runs(folder: Path) -> None:
    def at(flops: float, n_opt: float) -> Rung:
        return rung_at(folder, flops, n_opt, "total")

    once, twice = at(BUDGET, 1e4), at(2 * BUDGET, 1e4)
    assert once.seconds is not None
    assert twice.seconds is not None
    assert twice.seconds == pytest.approx(2 * once.seconds, rel=0.05)
    assert once.state_bytes == 16 * once.n_params_total
    assert once.activation_bytes > 4 * once.width * once.batch_tokens
    assert "width 24 had, held beyond it" in at(BUDGET, 1e5).seconds_from


def test_every_kind_of_option_is_spelled(folder: Path, own: Path) -> None:
    base = load_config(str(own))
    other = base.with_options(
        beta2=0.95, checks=True, across_documents=False, budgets=(1e8, 3.5e8), experts=4, mlp="gelu"
    )
    assert config_of(sweep_command(other, folder, base)) == other


def test_what_it_costs_is_forecast_for_the_familys_shape(folder: Path) -> None:
    model = family_shapes(folder)(1e4, "non_embedding")
    rung = rung_at(folder, BUDGET, 1e4, "non_embedding")
    shape = model.shape
    assert (shape.width, shape.layers, shape.heads, shape.head_dim) == (
        rung.width,
        rung.depth,
        rung.heads,
        rung.head_dim,
    )
    assert model.n_params == rung.n_params_total
    # Its norms of queries and keys, and convolutions of keys and values, are no part of a plain shape.
    assert shape.n_params == pytest.approx(model.n_params, rel=0.03)


def test_without_a_log_the_config_is_left_to_name(tmp_path: Path, own: Path) -> None:
    base = load_config(str(own))
    assert sweep_command(base.with_options(seed=1), tmp_path, base) == f"isoflop sweep {UNKNOWN} --seed 1"
    assert going_on(tmp_path) == f"isoflop sweep {UNKNOWN} --out {tmp_path}"


def test_the_log_says_how_to_go_on(folder: Path, own: Path) -> None:
    assert going_on(folder) == f"isoflop sweep {own} --seed 3 --out {folder}"


def test_a_fit_outside_a_sweeps_folder_has_no_rung(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a sweep's folder"):
        rung_at(tmp_path, BUDGET, 1e4, "total")
