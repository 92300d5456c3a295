"""The ladders for one GPU: their plans are sound, and shrunk they train on a CPU with runs packed."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isoflop.models.attention import implementation
from isoflop.sweeps.grids.config import Rates, SweepConfig, load_config
from isoflop.sweeps.launchers import load_launcher
from isoflop.sweeps.plan import Plan, make_plan
from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.run import run_sweep
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.data.corpus import prepare
from isoflop.train.data.row_corpus import ROW, RowCorpus
from isoflop.train.data.synthetic_corpus import SyntheticCorpus
from isoflop.train.execution import Execution
from isoflop.train.spec import DataSpec, Split

LADDERS = ("h200-ladder", "h200-synthetic")
TEXT_BYTES: dict[Split, int] = {"train": 186_000_000, "heldout": 4_000_000, "tune": 2_000_000}
"""About what debian-docs has."""

EXPECTED = {"h200-ladder": (1e12, 34_000, 0.45), "h200-synthetic": (3e11, 36_000, 0.55)}
"""Where smaller sweeps on a CPU put the minimum: budget, parameters without embeddings, exponent."""


class Claimed(RowCorpus):
    """A corpus of which only the size is known."""

    def _read(self, split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
        return np.zeros((len(rows), ROW + 1), np.uint8)


class Unmade(SyntheticCorpus):
    """A synthetic corpus without its tables."""

    def windows(self, split: Split, context: int, index: Any) -> NDArray[Any]:
        return np.zeros((len(index), context + 1), np.uint16)


def planned(name: str, tmp_path: Path) -> Plan:
    """The plan, on a corpus that is not there."""
    config = load_config(name)
    spec, kind, _, process = DataSpec(config.data, "bytes", "0"), *config.data.partition(":")
    if kind == "synthetic":
        return make_plan(config, Unmade(spec, tmp_path, "ids", "none", 512, None, process))
    tokens = TEXT_BYTES
    rows: dict[Split, int] = {split: size // ROW for split, size in TEXT_BYTES.items()}
    return make_plan(config, Claimed(spec, tmp_path, "text", "none", 256, 0, rows, TEXT_BYTES, tokens))


@pytest.mark.parametrize("name", LADDERS)
def test_the_plan_is_sound(name: str, tmp_path: Path) -> None:
    plan = planned(name, tmp_path)
    config = plan.config
    assert config.dtype == "bfloat16"
    assert config.parametrization == "completep"
    assert config.checks
    assert config.replicates == 1
    assert 5 <= config.sizes <= 7
    assert not [w for w in plan.warnings if "starved" in w]
    for budget in config.budgets:
        counts = [p.cell.recipe.ledger.params() for p in plan.grid if p.budget == budget]
        assert len(counts) == config.sizes
        steps = np.array(counts[1:]) / counts[:-1]
        assert (steps > 1.3).all()
        assert (steps < 2.2).all()
    tokens = np.array([p.cell.tokens / p.cell.recipe.ledger.params() for p in plan.grid])
    assert (tokens > 2).all()
    assert all(p.cell.steps > 400 for p in (*plan.grid, *plan.tuning))


@pytest.mark.parametrize("name", LADDERS)
def test_windows_of_sizes_slide_and_never_meet_the_ladders_end(name: str, tmp_path: Path) -> None:
    config = (plan := planned(name, tmp_path)).config
    firsts = [config.ladder.index(config.widths_at(b, plan.corpus)[0]) for b in config.budgets]
    assert firsts == sorted(firsts)
    assert firsts[0] < firsts[-1]
    assert firsts[-1] + config.sizes < len(config.ladder)


@pytest.mark.parametrize("name", LADDERS)
def test_every_width_is_one_that_tensor_cores_and_flash_attention_take(name: str, tmp_path: Path) -> None:
    class Hopper:
        platform, compute_capability = "gpu", "9.0"

    config = (plan := planned(name, tmp_path)).config
    for width in config.ladder:
        model = config.model_at(width, plan.corpus)
        assert width % 16 == 0
        length = config.model.context_length
        kernel = implementation(Hopper(), np.dtype("bfloat16"), model.head_dim, length=length, masked=False)
        assert kernel == "cudnn"


@pytest.mark.parametrize("name", EXPECTED)
def test_the_expected_minimum_is_interior(name: str, tmp_path: Path) -> None:
    plan = planned(name, tmp_path)
    at, size, exponent = EXPECTED[name]
    for budget in plan.config.budgets:
        counts = [p.cell.recipe.ledger.params() for p in plan.grid if p.budget == budget]
        expected = size * (budget / at) ** exponent
        assert counts[1] < expected < counts[-2]


def test_text_is_repeated_by_the_smallest_models_of_the_largest_budget_alone(tmp_path: Path) -> None:
    plan = planned("h200-ladder", tmp_path)
    passes = {(p.budget, p.cell.recipe.model.width): p.cell.tokens / TEXT_BYTES["train"] for p in plan.grid}
    assert {cell for cell, n in passes.items() if n > 1} == {(1e15, 96), (1e15, 128)}
    assert max(passes.values()) < plan.config.max_epochs
    assert all("repeats tokens" in warning for warning in plan.warnings)
    assert max(p.cell.tokens for p in plan.tuning) < TEXT_BYTES["train"]


@pytest.mark.parametrize("name", LADDERS)
def test_the_registered_prediction_costs_no_run_of_the_largest_budget(name: str) -> None:
    """Anchors lie below it, so that the smaller budgets alone are the same sweep with less to do."""
    config = load_config(name)
    assert max(budget for _, budget in config.rates.anchors) < config.budgets[-1]
    assert len({width for width, _ in config.rates.anchors}) == 2


def shrunk(name: str, data: str) -> SweepConfig:
    """The same sweep at a hundred-thousandth of the price."""
    config = load_config(name)
    return config.with_options(
        budgets=(2e8, 4e8),
        ladder=(8,),
        sizes=1,
        centre_width=8,
        centre_budget=2e8,
        rates=Rates(0.005, 0.0, tried=(0.5, 1.0, 2.0), anchors=((8, 2e8),)),
        data=data,
        context_length=32,
        batch_size=4,
        eval_windows=64,
        tune_windows=64,
        trackers=("jsonl",),
    )


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    """A table of a sweep's folder."""
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_same_sweep_trains_small_with_its_runs_packed(tmp_path: Path) -> None:
    trained_on = prepare("synthetic:markov,order=2,vocab=64,branch=16,exponent=1", "bytes")
    config = shrunk("h200-synthetic", trained_on.spec.source)
    reporter = Reporter()
    reporter.say = lambda text, style="": None
    out = run_sweep(
        make_plan(config, trained_on),
        tmp_path / "out",
        load_launcher("local"),
        reporter,
        WorkerOptions(Execution(members=2)),
    )
    table = rows(out, "runs.csv")
    assert {row["status"] for row in table} == {"finished"}
    assert Counter(row["role"] for row in table) == {"grid": 2, "replicate": 2}
    for budget in config.budgets:
        own = [row for row in table if float(row["budget"]) == budget]
        best = min((row for row in own if row["role"] == "grid"), key=lambda row: float(row["loss"]))
        seeds = {row["init_seed"] for row in own if row["d_model"] == best["d_model"]}
        assert seeds == {str(config.seed), str(config.seed + 1)}
    tuning = rows(out, "tuning.csv")
    assert len(tuning) == 3
    learnt = json.loads((out / "summary.json").read_text())["learning_rate"]
    assert [anchor["d_model"] for anchor in learnt["anchors"]] == [8]
    rule = Rates(learnt["c"], learnt["p"])
    assert {float(row["lr"]) for row in table} == {float(f"{rule.at(w):.6g}") for w in config.ladder}
    assert {row["role"] for row in rows(out, "checks.csv")} == {"fresh_cosine", "rate_half", "rate_double"}
    segments = [json.loads(path.read_text()) for path in out.glob("segments/*/segment.json")]
    assert {segment["members"] for segment in segments} >= {2}
