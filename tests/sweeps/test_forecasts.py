"""Forecasts: registered before a budget's runs, trained by the sweep, scored after."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.__main__ import _run
from isoflop.analysis.options import FitOptions
from isoflop.base.errors import UserError
from isoflop.models import ledger
from isoflop.sweeps.forecasts.registration import register
from isoflop.sweeps.forecasts.scoring import score
from isoflop.sweeps.forecasts.trained_sweep import TrainedSweep
from isoflop.sweeps.grids.config import Axis, SweepConfig
from isoflop.sweeps.grids.stages import FORECAST, SHORT
from isoflop.sweeps.plan import make_plan
from isoflop.sweeps.progress.status import StageStatus, read_status
from isoflop.sweeps.registered import (
    Registered,
    digest_of,
    folder_of,
    read_registered,
    registered_cells,
)
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import Evaluation
from isoflop.train.spec import CellSpec
from tests.support.in_process import Runner
from tests.support.pretended import pretend_to_train
from tests.support.small import small_sweep
from tests.support.tables import read_rows

BUDGET = 2e9
QUICK = FitOptions(bootstrap=40, starts=16)


@pytest.fixture(scope="module")
def sweep(source_name: str) -> SweepConfig:
    """Four budgets by three widths."""
    return small_sweep(source_name, budgets=(1e8, 2e8, 4e8, 8e8))


def by_law(cell: CellSpec, state: Any, corpus: Any, execution: Any = None) -> Evaluation:
    """Stands for the evaluation of a trained cell: seconds of training bracket no minimum by themselves."""
    n_params = cell.recipe.ledger.params()
    # Not of the cell's id, which is another one wherever the text lies.
    seeds = (n_params, cell.tokens, cell.recipe.init_seed)
    noise = np.random.default_rng(seeds).normal(scale=0.004)
    loss = 1.5 + 50 / n_params**0.5 + 31 / cell.tokens**0.5 + noise
    losses = np.linspace(loss - 0.1, loss + 0.1, cell.eval_windows, dtype=np.float32)
    return Evaluation(losses, np.exp(-losses))


@pytest.fixture(scope="module", autouse=True)
def evaluated_by_a_law() -> Iterator[None]:
    """Cells have the losses of a law, whatever they would learn in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        pretend_to_train(patch)
        patch.setattr("isoflop.sweeps.workers.execute.evaluate", by_law)
        yield


@pytest.fixture(scope="module")
def trained(
    corpus: Corpus, sweep: SweepConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Registered]:
    """The folder of that sweep, finished, with a forecast for a further budget."""
    folder = tmp_path_factory.mktemp("trained") / "sweep"
    Runner(corpus)(sweep, folder)
    return folder, register(folder, BUDGET, QUICK, force=True)


@pytest.fixture
def registered(trained: tuple[Path, Registered]) -> Registered:
    """The forecast."""
    return trained[1]


@pytest.fixture
def folder(trained: tuple[Path, Registered], tmp_path: Path) -> Path:
    """A copy of the folder."""
    return shutil.copytree(trained[0], tmp_path / "sweep")


def forecast_stage(folder: Path) -> StageStatus:
    """The state of the forecasts' cells."""
    return next(stage for stage in read_status(folder).stages if stage.name == SHORT[FORECAST])


def fill(folder: Path, losses: dict[str, float | None]) -> None:
    """Write cells into the run table as if they had been trained; None: one that diverged."""
    rows = read_rows(folder)
    for cell_id, loss in losses.items():
        end = {"loss": "", "status": "diverged"} if loss is None else {"loss": str(loss)}
        rows.append(rows[0] | {"cell_id": cell_id, "budget": str(BUDGET)} | end)
    with (folder / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_whole_ritual(run: Runner, sweep: SweepConfig, folder: Path, registered: Registered) -> None:
    before = {row["cell_id"]: row for row in read_rows(folder)}
    assert registered.runs == tuple(sorted(before))
    assert forecast_stage(folder) == StageStatus("forecasts", {}, len(registered.cells))
    assert not read_status(folder).is_finished
    rows = {row["cell_id"]: row for row in run(sweep, folder)}
    wanted = {cell.cell_id for cell in registered.cells}
    assert set(rows) - set(before) == wanted
    assert {task.cell.cell_id for task in run.given if task.cell} == wanted
    assert {float(rows[cell]["budget"]) for cell in wanted} == {BUDGET}
    assert read_status(folder).is_finished
    assert forecast_stage(folder).cells == {"finished": len(wanted)}
    for cell, row in before.items():  # a forecast's cells may share a run's trunk, and change nothing else
        assert {name for name in row if row[name] != rows[cell][name]} <= {"trunk_id", "flops_spent"}
    (found,) = score(folder)
    assert found.sha256 == registered.sha256
    assert found.to_json() == json.loads((folder_of(folder, BUDGET) / "score.json").read_text())
    for cell, predicted in zip(found.cells, registered.cells, strict=True):
        assert cell.loss == float(rows[cell.cell_id]["loss"])
        assert cell.error == pytest.approx(float(rows[cell.cell_id]["loss"]) - predicted.loss)
    run(sweep, folder)
    assert run.given == []
    assert score(folder) == (found,)


def test_cells_go_on_from_the_trunks_that_are_there(run: Runner, sweep: SweepConfig, folder: Path) -> None:
    shared = {p.cell.recipe for p in make_plan(sweep, run.corpus).grid}
    run(sweep, folder)
    began = {task.segment.recipe for task in run.given if task.segment.start == 0}
    assert any(task.segment.recipe in shared for task in run.given)
    assert not began & shared


def test_interrupted_between_it_goes_on_to_the_same(
    run: Runner, sweep: SweepConfig, folder: Path, tmp_path: Path, registered: Registered
) -> None:
    def score_of(name: Path) -> list[float | None]:
        return [cell.loss for cell in score(name)[0].cells]

    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    run(sweep, elsewhere)
    with pytest.raises(UserError, match=f"{len(registered.cells)} of the {len(registered.cells)} cells"):
        score(folder)
    last = registered.cells[-1].planned.cell.recipe
    run(sweep, folder, lambda task: "stop" if task.segment.recipe == last else None)
    with pytest.raises(UserError, match=r"1 of the \d+ cells .* go on with isoflop sweep"):
        score(folder)
    run(sweep, folder)
    assert score_of(folder) == score_of(elsewhere)


def test_cells_stand_around_the_forecasts_minimum(
    corpus: Corpus, sweep: SweepConfig, folder: Path, registered: Registered
) -> None:
    found = TrainedSweep.read(folder)
    sizes = {width: sweep.model_at(width, corpus) for width in (*sweep.ladder, 32, 40)}
    n_of = {width: float(found._params(width, "non_embedding")) for width in sizes}
    assert found.widths_around(n_of[16], "non_embedding", BUDGET) == (8, 16, 24)
    assert found.widths_around(n_of[8], "non_embedding", BUDGET) == (8, 16, 24)
    assert found.widths_around(n_of[32], "non_embedding", BUDGET) == (24, 32, 40)  # the ladder ends at 24
    token_flops = ledger(sweep.model_at(8, corpus)).train_flops
    too_much = 1.1 * corpus.n_tokens("train") * token_flops  # for width 8, not for the others
    assert found.widths_around(n_of[24], "non_embedding", too_much) == (16, 24, 32)
    with pytest.raises(UserError, match="width 16, and a smaller one wants more tokens"):
        found.widths_around(n_of[16], "non_embedding", too_much)
    with pytest.raises(UserError, match=r"width 8 wants .* tokens, and a cell of .* may take"):
        found.cells(too_much, (8, 16, 24))
    widths = [cell.planned.cell.recipe.model.width for cell in registered.cells]
    n_opt = registered.forecast.n_opt
    assert n_opt is not None
    assert tuple(sorted(set(widths))) == found.widths_around(n_opt, registered.count, BUDGET)
    seeds = {cell.planned.cell.recipe.init_seed for cell in registered.cells}
    assert len(widths) == len(set(widths)) * len(seeds)
    for cell in registered.cells:
        assert cell.flops == pytest.approx(BUDGET, rel=0.05)
        low, high = cell.interval
        assert (low or math.inf) < cell.loss < (high or -math.inf)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON object."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            yield from leaves(part, (*path, key))
    else:
        yield path


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool) or value is None:
        return not value
    return value + "x" if isinstance(value, str) else value + 1


@given(st.data())
def test_the_digest_changes_with_any_field(trained: tuple[Path, Registered], data: st.DataObject) -> None:
    content = trained[1].to_json()
    path = data.draw(st.sampled_from([path for path in leaves(content) if path != ("sha256",)]))
    other = deepcopy(content)
    part = other
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = changed(part[path[-1]])
    assert digest_of(other) != digest_of(content) == trained[1].sha256


def test_a_forecast_comes_back_from_its_file(folder: Path, registered: Registered) -> None:
    assert read_registered(folder) == [registered]
    assert Registered.from_json(registered.to_json()) == registered


def test_an_edited_forecast_is_refused(
    run: Runner, sweep: SweepConfig, folder: Path, registered: Registered
) -> None:
    path = folder_of(folder, BUDGET) / "forecast.json"
    value = json.loads(path.read_text())
    value["forecast"]["loss"] += 1e-9
    path.write_text(json.dumps(value))
    for use in (score, read_status, lambda folder: registered_cells(folder, sweep)):
        with pytest.raises(UserError, match=r"forecast.json has changed since it was registered"):
            use(folder)
    path.write_text("{}")
    with pytest.raises(UserError, match=r"forecast.json is no forecast"):
        score(folder)


def test_cells_that_this_version_trains_otherwise_are_refused(sweep: SweepConfig, folder: Path) -> None:
    path = folder_of(folder, BUDGET) / "forecast.json"
    value = json.loads(path.read_text())
    value["cells"][0]["cell_id"] = "0" * 16
    path.write_text(json.dumps(value | {"sha256": digest_of(value)}))
    with pytest.raises(UserError, match="trains its cells otherwise: go on with that version"):
        registered_cells(folder, sweep)


def test_another_fit_beside_it_is_refused(folder: Path) -> None:
    path = folder_of(folder, BUDGET) / "fit.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(UserError, match=r"fit.json is not the fit of"):
        score(folder)


def test_another_table_is_refused(folder: Path, registered: Registered) -> None:
    fill(folder, {cell.cell_id: cell.loss for cell in registered.cells})
    score(folder)
    lines = (folder / "runs.csv").read_text().splitlines(keepends=True)
    (folder / "runs.csv").write_text("".join([*lines[:1], *lines[2:]]))
    with pytest.raises(UserError, match=r"another table: .* of which it lacks 1"):
        score(folder)
    loss = read_rows(folder)[0]["loss"]
    (folder / "runs.csv").write_text("".join(lines).replace(loss, loss[:-1] + "0"))
    with pytest.raises(UserError, match=r"runs.csv has changed: .* numbers are others"):
        score(folder)


def test_the_measured_minimum_is_the_parabolas(folder: Path, registered: Registered) -> None:
    at, least = math.log(registered.cells[0].n_params) + 0.4, 2.5
    fill(
        folder,
        {c.cell_id: least + 0.3 * (math.log(c.n_params) - at) ** 2 for c in registered.cells},
    )
    (found,) = score(folder)
    assert found.measured.loss == pytest.approx(least)
    assert found.measured.n_opt == pytest.approx(math.exp(at))
    own = found.methods[0]
    assert own.forecast == registered.forecast
    assert own.loss_error == pytest.approx(least - (registered.forecast.loss or 0))
    assert own.n_error == pytest.approx(at - math.log(registered.forecast.n_opt or 0))
    low, high = registered.forecast.loss_interval or (None, None)
    assert low is not None
    assert high is not None
    assert own.loss_inside is (low <= least <= high)
    missed = max(low - least, least - high, 0)
    assert own.interval_score == pytest.approx(high - low + 40 * missed)
    errors = [abs(method.loss_error) for method in found.methods if method.loss_error is not None]
    best = min(found.methods, key=lambda method: method.loss_rank or math.inf)
    assert best.loss_error in (min(errors), -min(errors))


def test_a_minimum_at_an_edge_is_named(folder: Path, registered: Registered) -> None:
    fill(folder, {cell.cell_id: 3 - 1e-5 * cell.n_params for cell in registered.cells})
    (found,) = score(folder)
    assert found.measured.n_opt is None
    assert found.measured.loss == pytest.approx(3 - 1e-5 * max(c.n_params for c in registered.cells))
    assert any("mean at the largest size" in warning for warning in found.warnings)
    assert {method.n_error for method in found.methods} == {None}


def test_a_cell_that_diverged_is_outside(folder: Path, registered: Registered) -> None:
    losses: dict[str, float | None] = {cell.cell_id: cell.loss for cell in registered.cells}
    fill(folder, losses | {registered.cells[0].cell_id: None})
    (found,) = score(folder)
    assert [cell.inside for cell in found.cells] == [False, *[True] * (len(losses) - 1)]
    assert found.coverage == pytest.approx(1 - 1 / len(losses))
    assert any(warning.startswith("1 of ") and "diverged" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("flops", "says"),
    [
        (BUDGET, "has its forecast"),
        (1.05 * BUDGET, "is nearly 2e\\+09"),
        (8e8, "has runs of 8e\\+08 FLOPs"),
        (1.5e8, "has runs of 8e\\+08 FLOPs"),
        (1e12, "more tokens than a cell of"),
        (math.inf, "positive number"),
    ],
)
def test_a_budget_that_can_have_no_forecast(folder: Path, flops: float, says: str) -> None:
    with pytest.raises(UserError, match=says):
        register(folder, flops, QUICK, force=True)


def test_folders_that_can_have_no_forecast(
    run: Runner, sweep: SweepConfig, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is not a sweep's folder"):
        register(tmp_path, BUDGET, QUICK)
    with pytest.raises(UserError, match="has no registered forecast: make one with isoflop register"):
        score(tmp_path)
    with pytest.raises(UserError, match="approach 3"):
        register(folder, 4e9, replace(QUICK, approach=2))
    (folder / "summary.json").unlink()
    with pytest.raises(UserError, match=r"grid of .* is not finished: go on with isoflop sweep"):
        register(folder, 4e9, QUICK, force=True)
    with pytest.raises(UserError, match="leave it out of --budgets"):
        registered_cells(folder, sweep.with_options(budgets=(*sweep.budgets, BUDGET)))


def test_a_sweep_with_axes_can_have_no_forecast(run: Runner, narrow: SweepConfig, tmp_path: Path) -> None:
    run(narrow.with_options(axes=(Axis("beta2", (0.95, 0.99)),)), tmp_path)
    with pytest.raises(UserError, match="several values of beta2"):
        register(tmp_path, BUDGET, QUICK)


def test_a_plan_prices_forecasts(corpus: Corpus, sweep: SweepConfig, folder: Path) -> None:
    alone = make_plan(sweep, corpus).price()
    price = make_plan(sweep, corpus, forecasts=registered_cells(folder, sweep)).price()
    assert alone.forecast_flops == 0
    cells = {cell.planned.cell.recipe: cell for cell in registered_cells_of(folder)}
    assert price.forecast_flops == sum(cell.flops for cell in cells.values())
    assert price.total_flops == alone.total_flops + price.forecast_flops


def registered_cells_of(folder: Path) -> tuple[Any, ...]:
    """The cells of the folder's one forecast."""
    (registered,) = read_registered(folder)
    return registered.cells


def test_two_forecasts_stand_beside_each_other(
    run: Runner, sweep: SweepConfig, folder: Path, registered: Registered
) -> None:
    further = register(folder, 3e9, replace(QUICK, seed=1), widths=(8, 16, 24), force=True)
    assert {cell.planned.cell.recipe.model.width for cell in further.cells} == {8, 16, 24}
    assert read_registered(folder) == [registered, further]
    run(sweep, folder)
    assert [found.flops for found in score(folder)] == [BUDGET, 3e9]
    assert None not in [found.mean_abs_error for found in score(folder)]


COMMANDS = {
    "no budget": ("register {folder}", "^missing: --flops; see isoflop register --help"),
    "no number": ("register {folder} --flops x", "--flops x: must be a number"),
    "a level beyond 1": ("register {folder} --flops 4e9 --level 2", "level 2.0: must be below 1"),
    "an unknown law": ("register {folder} --flops 4e9 --law kaplen", "unknown law 'kaplen'"),
    "a budget that has runs": ("register {folder} --flops 4e8", r"runs of 8e\+08 FLOPs: register a larger"),
    "a budget that is registered": ("register {folder} --flops 2e9", r"2e\+09 FLOPs has its forecast"),
    "no folder": ("register {folder}/no --flops 4e9", "/no is not a sweep's folder: it has no sweep.json"),
    "a table alone": ("register docs/results/cpu-demo --flops 1e13", "is not a sweep's folder"),
    "nothing to score": ("score docs/results/cpu-demo", "has no registered forecast: make one with"),
    "cells that lack": ("score {folder}", "cells .* go on with isoflop sweep"),
}


def complaint(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command line refuses."""
    capsys.readouterr()
    assert _run(command.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line.removeprefix("isoflop: ")


@pytest.mark.parametrize(("command", "says"), COMMANDS.values(), ids=COMMANDS)
def test_commands_refuse_in_a_line(
    command: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert re.search(says, complaint(command.format(folder=folder), capsys))
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("forecast.json", "edited", "has changed since it was registered: .*: restore the file"),
        ("forecast.json", "", "is no forecast: restore the file that was registered"),
        ("forecast.json", None, "holds no forecast.json: restore it, or remove the folder"),
        ("fit.json", "{}", "is not the fit of .*: restore the file that was registered"),
        ("fit.json", None, "holds no fit.json: restore the file that was registered"),
    ],
)
def test_commands_refuse_a_broken_seal(
    file: str, text: str | None, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder_of(folder, BUDGET) / file
    if text == "edited":
        path.write_text(path.read_text().replace('"loss": ', '"loss": 1', 1))
    elif text is None:
        path.unlink()
    else:
        path.write_text(text)
    for command in ("score {folder}", "register {folder} --flops 4e9", "status {folder}"):
        assert re.search(says, complaint(command.format(folder=folder), capsys))
