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

from isoflop.base.json_values import from_json
from isoflop.models.attention import implementation
from isoflop.sweeps.grids.config import Rates, SweepConfig, load_config
from isoflop.sweeps.grids.tuning import TunedRates
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

EXPECTED = {"h200-ladder": (1.6e11, 29_000, 0.5), "h200-synthetic": (3e11, 36_000, 0.55)}
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


def sizes_at(plan: Plan, budget: float) -> list[int]:
    """Parameters of a budget's sizes, ascending."""
    return sorted({p.cell.recipe.ledger.params() for p in plan.grid if p.budget == budget})


@pytest.mark.parametrize("name", LADDERS)
def test_the_plan_is_sound(name: str, tmp_path: Path) -> None:
    plan = planned(name, tmp_path)
    config = plan.config
    assert config.dtype == "bfloat16"
    assert config.parametrization == "completep"
    assert config.checks
    assert config.seeds == 2
    assert 5 <= config.sizes <= 7
    assert not [w for w in plan.warnings if "starved" in w]
    for budget in config.budgets:
        counts = sizes_at(plan, budget)
        assert len(counts) == config.sizes
        steps = np.array(counts[1:]) / counts[:-1]
        assert (steps > 1.25).all()
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
        assert kernel == ("xla" if width == 48 else "cudnn")


@pytest.mark.parametrize("name", EXPECTED)
def test_the_expected_minimum_is_interior(name: str, tmp_path: Path) -> None:
    plan = planned(name, tmp_path)
    at, size, exponent = EXPECTED[name]
    for budget in plan.config.budgets:
        counts = sizes_at(plan, budget)
        expected = size * (budget / at) ** exponent
        assert counts[1] < expected < counts[-2]


def test_no_text_is_repeated(tmp_path: Path) -> None:
    plan = planned("h200-ladder", tmp_path)
    assert plan.config.max_epochs == 1
    assert max(p.cell.tokens for p in plan.grid) < TEXT_BYTES["train"]
    assert not plan.warnings
    assert max(p.cell.tokens for p in plan.tuning) < TEXT_BYTES["train"]


@pytest.mark.parametrize("name", LADDERS)
def test_the_registered_prediction_costs_no_run_of_the_largest_budget(name: str, tmp_path: Path) -> None:
    """Tuning lies below it, so that the smaller budgets alone are the same sweep with less to do; and its
    horizons are the middles of trunks."""
    plan = planned(name, tmp_path)
    rates = plan.config.rates
    assert max(p.budget for p in plan.tuning) < plan.config.budgets[-1]
    assert len(rates.widths) == len(rates.horizons) == rates.seeds == 2
    assert [plan.config.horizon(tokens) for tokens in rates.horizons] == pytest.approx(rates.horizons)


def shrunk(name: str, data: str) -> SweepConfig:
    """The same sweep at a hundred-thousandth of the price."""
    config = load_config(name)
    return config.with_options(
        budgets=(2e8, 4e8),
        ladder=(8,),
        sizes=1,
        centre_width=8,
        centre_budget=2e8,
        rates=Rates(0.005, tried=(0.5, 1.0, 2.0), widths=(8,), horizons=(1.5e4,), base_tokens=1.5e4, seeds=1),
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
    assert Counter(row["role"] for row in table) == {"grid": 4}
    for budget in config.budgets:
        seeds = {row["init_seed"] for row in table if float(row["budget"]) == budget}
        assert seeds == {str(config.seed), str(config.seed + 1)}
    tuning = rows(out, "tuning.csv")
    assert len(tuning) == 3
    learnt = json.loads((out / "summary.json").read_text())["learning_rate"]
    assert [anchor["d_model"] for anchor in learnt["tuned"]["anchors"]] == [8]
    rule = from_json(TunedRates, learnt["tuned"]).rates
    assert {float(row["lr"]) for row in table} == {
        float(f"{rule.at(int(row['d_model']), config.horizon(int(row['n_tokens']))):.6g}") for row in table
    }
    assert {row["role"] for row in rows(out, "checks.csv")} == {"fresh_cosine", "rate_half", "rate_double"}
    segments = [json.loads(path.read_text()) for path in out.glob("segments/*/segment.json")]
    assert {segment["members"] for segment in segments} >= {2}
