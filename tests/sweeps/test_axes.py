"""Axes: the grid of a sweep at each value of an option."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isoflop import analysis
from isoflop.analysis.approaches.fit import prepare
from isoflop.analysis.options import FitOptions
from isoflop.base.errors import UserError
from isoflop.base.json_values import from_json, to_json
from isoflop.sweeps.grids.adaptive import Adaptive
from isoflop.sweeps.grids.config import NO_AXES, OPTIONS, Axis, Rates, SweepConfig, load_config
from isoflop.sweeps.output_folder import default_folder
from isoflop.sweeps.plan import make_plan
from isoflop.sweeps.progress.status import read_status
from isoflop.sweeps.queue.store import Store
from isoflop.train.data.corpus import Corpus
from tests.support.in_process import Runner
from tests.support.pretended import pretend
from tests.support.tables import read_rows

__all__ = ["pretend"]


def varied(config: SweepConfig, **axes: tuple[Any, ...]) -> SweepConfig:
    """The sweep with these axes."""
    return config.with_options(axes=tuple(Axis(option, values) for option, values in axes.items()))


CASES = {
    "of the model": {"experts": (1, 2)},
    "of the optimizer": {"beta2": (0.9, 0.99)},
    "of the run": {"dtype": ("float32", "bfloat16")},
    "two at once": {"mlp": ("gelu", "swiglu"), "context_length": (16, 32)},
}


@pytest.mark.parametrize("axes", CASES.values(), ids=CASES)
def test_the_grid_is_trained_at_each_value(
    run: Runner, narrow: SweepConfig, tmp_path: Path, axes: dict[str, tuple[Any, ...]]
) -> None:
    config = varied(narrow, **axes)
    rows = run(config, tmp_path)
    assert {row["status"] for row in rows} == {"finished"}
    grid = Counter(tuple(row[option] for option in axes) for row in rows if row["role"] == "grid")
    assert len(grid) == len(config.variants)
    assert set(grid.values()) == {len(narrow.budgets)}
    for variant in config.variants:
        alone = make_plan(variant.with_options(axes=()), run.corpus)
        assert [planned.cell.cell_id for planned in alone.grid] == [
            row["cell_id"]
            for row in rows
            if row["role"] == "grid" and all(row[option] == str(value) for option, value in variant.settings)
        ]
    assert run(config, tmp_path) == rows
    assert run.given == []


def test_every_stage_is_done_at_each_value(run: Runner, narrow: SweepConfig, tmp_path: Path) -> None:
    rates = Rates(0.06, 0.5, tried=(0.5, 1.0, 2.0), widths=(8,), horizons=(1.5e4,), seeds=1)
    config = varied(narrow, weight_decay=(0.0, 0.3)).with_options(rates=rates, checks=True, seeds=2)
    plan = make_plan(config, run.corpus)
    rows = run(config, tmp_path)
    status = read_status(tmp_path)
    assert status.is_finished
    assert {stage.name: sum(stage.cells.values()) for stage in status.stages if stage.planned} == {
        stage.name: stage.planned for stage in status.stages if stage.planned
    }
    assert len(plan.tuning) == 2 * 3
    assert len(plan.checks) == 2 * 2 * 3  # values, budgets and checks
    by_role = Counter((row["role"], row["weight_decay"]) for row in rows)
    assert by_role == {("grid", "0.0"): 6, ("grid", "0.3"): 6}
    summary = Store(tmp_path).read_json("summary.json")
    assert summary["learning_rate"]["settings"] == {"weight_decay": 0.0}
    assert [rate["settings"] for rate in summary["further_rates"]] == [{"weight_decay": 0.3}]


def test_a_trunk_is_shared_where_only_the_decay_differs(
    run: Runner, narrow: SweepConfig, tmp_path: Path
) -> None:
    """Trained once, and to the bit what each value gives alone."""
    config = varied(narrow, decay_fraction=(0.2, 0.5), final_fraction=(0.0, 0.1))
    plan = make_plan(config, run.corpus)
    alone = [make_plan(variant, run.corpus) for variant in config.variants]
    trunks = lambda tree: [s for s in tree.segments.values() if s.total is None]  # noqa: E731  # twice below
    longest = max(s.stop for each in alone for s in trunks(each.tree(each.grid)))
    together = plan.tree(plan.grid)
    assert sum(s.stop - s.start for s in trunks(together)) == longest
    assert together.flops < 0.65 * sum(each.tree(each.grid).flops for each in alone)
    rows = run(config, tmp_path / "together")
    assert len({row["trunk_id"] for row in rows}) == 1
    losses = {row["cell_id"]: row["loss"] for row in rows}
    assert len(set(losses.values())) == len(rows) == 12
    for i, variant in enumerate(config.variants):
        own = run(variant.with_options(axes=()), tmp_path / str(i))
        assert {row["cell_id"]: row["loss"] for row in own}.items() <= losses.items()


def test_a_fit_takes_one_value_and_warns_of_several(
    run: Runner, config: SweepConfig, tmp_path: Path, pretend: None
) -> None:
    run(varied(config, experts=(1, 2)), tmp_path)
    table = analysis.load_runs(tmp_path)
    fitted = analysis.fit(table, approach=2)
    assert any("mixes 2 kinds of axes (experts=1, experts=2)" in warning for warning in fitted.warnings)
    one = analysis.fit(analysis.load_runs(tmp_path, where="experts=2"), approach=3)
    assert not any("axes" in warning for warning in one.warnings)


def test_axes_go_to_json_and_back(config: SweepConfig) -> None:
    varying = varied(config, experts=(1, 2), mlp=("gelu", "relu2"), tie_embeddings=(False, True))
    assert from_json(SweepConfig, to_json(varying)) == varying
    assert len(varying.variants) == 8
    assert all(variant.variants == (variant,) for variant in varying.variants)


def test_an_output_folder_spells_its_axes() -> None:
    demo = load_config("cpu-demo")
    assert default_folder(varied(demo, experts=(1, 4), dtype=("float32", "bfloat16")), demo).name == (
        "cpu-demo-axes-experts-1-4-dtype-float32-bfloat16"
    )


@pytest.mark.parametrize(
    # tests/sweeps/test_teachers.py has those that need a teacher.
    "option",
    sorted(OPTIONS.keys() - NO_AXES - {"teacher", "distillation_share"}),
)
def test_any_option_of_training_can_be_an_axis(config: SweepConfig, corpus: Corpus, option: str) -> None:
    values: dict[str, tuple[Any, ...]] = {
        "architecture": ("decoder",),
        "parametrization": ("standard", "mup"),
        "optimizer": ("adamw", "muon"),
        "schedule": ("wsd", "cosine"),
        "mlp": ("gelu", "swiglu"),
        "dtype": ("float32", "bfloat16"),
        "across_documents": (True,),
        "tie_embeddings": (False, True),
        "experts": (1, 2),
        "experts_per_token": (1, 2),
        "granularity": (1, 2),
        "weight_bits": (0, 4),
        "context_length": (16, 32),
        "batch_size": (2, 4),
        "batch_tokens": (64, 128),
        "trunk_span": (4.0, 1000.0),
        "batch_exponent": (0.05, 0.2),
        "kv_convolution": (1, 2),
        "momentum": (0.9, 0.95),
        "unique_tokens": (3200, 6400),
        "data": ("text:one", "text:two"),
    }
    base: dict[str, Any] = {
        "experts_per_token": {"experts": 2},
        "granularity": {"experts": 2},
        "momentum": {"optimizer": "muon"},
        "unique_tokens": {"max_epochs": 1e3},
        # Batch and rate follow the horizon; no cell is at the base, where every exponent says the same.
        "batch_exponent": {"rates": Rates(0.06, base_tokens=10.0), "trunk_span": 4.0},
        "trunk_span": {"rates": Rates(0.06, token_exponent=0.2, base_tokens=10.0)},
    }.get(option, {})
    varying = varied(config.with_options(**base), **{option: values.get(option, (0.25, 0.5))})
    named = [replace(corpus.spec, source=name) for name in varying.axis_values("data")]
    cells = make_plan(varying, corpus, axis_corpora=[replace(corpus, spec=spec) for spec in named]).cells()
    assert Counter(cell[option] for cell in cells if cell["role"] == "grid") == {
        variant.option(option): 6 for variant in varying.variants
    }


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({"sizes": (1, 2)}, "axes sizes: is no option that can vary within a sweep"),
        ({"expert": (1, 2)}, "axes expert: is no option"),
        ({"experts": ()}, "axes experts: give its values, as in experts=1,2"),
        ({"experts": (2, 2)}, "axes experts=2,2: must not repeat"),
        ({"experts": (0, 2)}, "model.experts 0: must be at least 1"),
        ({"experts": (1, 2), "experts_per_token": (1, 2)}, "model.experts_per_token 2: must be at most"),
    ],
)
def test_axes_that_make_no_sense_are_refused(config: SweepConfig, axes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        varied(config, **axes)


def test_values_of_the_same_grid_are_refused(config: SweepConfig, corpus: Corpus) -> None:
    says = "axes: warmup_share=0.05 and warmup_share=0.0501 make the same grid, cell by cell: drop one"
    with pytest.raises(UserError, match=says):
        make_plan(varied(config, warmup_share=(0.5, 0.05, 0.0501)), corpus)


def in_common(config: SweepConfig, corpus: Corpus, **axes: tuple[Any, ...]) -> SweepConfig:
    """The sweep with trunks of one budget each, the base of its rates at the second one's tokens."""
    tokens = make_plan(config, corpus).grid[1].cell.tokens
    rates = Rates(0.06, token_exponent=0.2, base_tokens=tokens)
    return varied(config.with_options(rates=rates, trunk_span=1.5, seeds=1), **axes)


@pytest.mark.parametrize("axes", [{"batch_exponent": (0.0, 0.5)}, {"trunk_span": (1.5, 3.0)}])
def test_cells_in_common_are_planned_at_each_value_and_priced_once(
    narrow: SweepConfig, corpus: Corpus, axes: dict[str, tuple[Any, ...]]
) -> None:
    varying = in_common(narrow, corpus, **axes)
    plan = make_plan(varying, corpus)
    alone = [make_plan(variant.with_options(axes=()), corpus) for variant in varying.variants]
    grids = [{p.cell.cell_id for p in each.grid} for each in alone]
    assert 0 < len(grids[0] & grids[1]) < len(grids[0])
    assert Counter(p.settings for p in plan.grid) == {v.settings: 3 for v in varying.variants}
    assert plan.cell_counts()["grid"] == len(grids[0] | grids[1])
    assert plan.price().grid_flops < sum(each.price().grid_flops for each in alone)
    assert plan.price().fresh_flops < sum(each.price().fresh_flops for each in alone)


def test_cells_in_common_are_trained_once_and_are_rows_of_each_value(
    run: Runner, narrow: SweepConfig, tmp_path: Path
) -> None:
    base = in_common(narrow, run.corpus, trunk_span=(1.5, 3.0))
    tokens = base.rates.base_tokens
    tuned = replace(base.rates, tried=(0.5, 1.0, 2.0), widths=(8,), horizons=(tokens,), seeds=1)
    config = base.with_options(rates=tuned, checks=True)
    rows = run(config, tmp_path / "both")
    trained = Counter(task.segment for task in run.given)
    assert set(trained.values()) == {1}
    grids = [[row for row in rows if row["trunk_span"] == value] for value in ("1.5", "3.0")]
    for variant, own in zip(config.variants, grids, strict=True):
        alone = run(variant.with_options(axes=(), checks=False), tmp_path / own[0]["trunk_span"])
        losses = [[(row["cell_id"], row["loss"]) for row in table] for table in (alone, own)]
        assert losses[0] == losses[1]
    ids = [row["cell_id"] for row in rows]
    assert len(ids) == 6
    assert len(set(ids)) == 5
    store = Store(tmp_path / "both")
    tables = [read_rows(store.path, name) for name in ("runs.csv", "tuning.csv", "checks.csv")]
    everything = [row for table in tables for row in table]
    spent = sum(float(row["flops_spent"]) for row in everything)
    assert spent == pytest.approx(store.read_json("summary.json")["flops"]["total"], rel=1e-9)
    lines = (store.path / "cells.jsonl").read_text().splitlines()
    logged = [json.loads(line)["row"]["cell_id"] for line in lines]
    assert Counter(logged) == {row["cell_id"]: 1 for row in everything}
    status = read_status(store.path)
    assert {stage.name: stage.cells.get("finished", 0) for stage in status.stages if stage.planned} == {
        "tuning": 3, "grid": 5, "checks": 12,
    }  # fmt: skip
    assert run(config, tmp_path / "both") == rows
    assert run.given == []


def test_an_adaptive_sweep_has_no_axes(run: Runner, config: SweepConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--axes"):
        run(varied(config, experts=(1, 2)), tmp_path, adaptive=Adaptive())


def test_repeated_text_is_an_axis_whose_shared_runs_count_once(
    run: Runner, narrow: SweepConfig, tmp_path: Path
) -> None:
    shorter = narrow.with_options(budgets=narrow.budgets[:2])
    short, long = sorted({planned.cell.tokens for planned in make_plan(shorter, run.corpus).grid})
    rows = run(varied(shorter, unique_tokens=(0, short)).with_options(max_epochs=10.0), tmp_path)
    assert len({row["cell_id"] for row in rows}) == 3
    part = str(short)
    seen = {(row["unique_tokens"], int(row["n_tokens"])): int(row["n_tokens_unique"]) for row in rows}
    assert seen == {("0", short): short, ("0", long): long, (part, short): short, (part, long): short}
    losses = {(row["unique_tokens"], int(row["n_tokens"])): row["loss"] for row in rows}
    assert losses["0", short] == losses[part, short]
    assert losses["0", long] != losses[part, long]
    counted = prepare(analysis.load_runs(tmp_path), FitOptions())
    assert len(counted) == 3
    assert [each.why for each in counted.excluded] == [
        "the run stands at another value of an axis too, and counts once"
    ]
