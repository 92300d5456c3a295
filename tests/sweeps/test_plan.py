"""The plan: its cells, its price, and what it refuses."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.analysis.laws import find_law
from isoflop.base.errors import UserError
from isoflop.commands import plan as plan_command
from isoflop.commands import sweep as sweep_command
from isoflop.sweeps.grids.cells import grid_cells
from isoflop.sweeps.grids.config import Rates, SweepConfig, load_config
from isoflop.sweeps.plan import COMPILE_SECONDS, LAW_PARAMETERS, make_plan, refuse_full_disk
from isoflop.sweeps.queue.board import is_kept
from isoflop.sweeps.workers import child
from isoflop.train.data.corpus import Corpus
from isoflop.train.execution import Execution
from tests.support.small import small_sweep

RULE = Rates(0.06, 0.3, 0.2, 1e4)


def test_every_budget_gets_its_sizes(config: SweepConfig, corpus: Corpus) -> None:
    plan = make_plan(config, corpus)
    assert [(p.budget, p.cell.recipe.model.width) for p in plan.grid] == [
        (budget, width) for budget in config.budgets for width in config.ladder
    ]
    assert plan.tuning == plan.checks == ()


def test_every_cell_is_trained_under_every_seed(config: SweepConfig, corpus: Corpus) -> None:
    plan = make_plan(config.with_options(seeds=2, seed=5), corpus)
    seeds: dict[tuple[float, int], list[int]] = {}
    for planned in plan.grid:
        recipe = planned.cell.recipe
        assert recipe.init_seed == recipe.data_seed
        seeds.setdefault((planned.budget, recipe.model.width), []).append(recipe.init_seed)
    assert seeds == {(budget, width): [5, 6] for budget in config.budgets for width in config.ladder}


def test_a_tied_matrix_has_one_rate(config: SweepConfig) -> None:
    with pytest.raises(UserError, match="tie_embeddings with parametrization mup"):
        config.with_options(tie_embeddings=True, parametrization="mup")


@pytest.mark.parametrize("name", ["optimizer", "dtype", "parametrization", "schedule", "mlp", "keep"])
def test_a_choice_that_is_none_is_answered_with_the_known_ones(config: SweepConfig, name: str) -> None:
    """In a config file of one's own, where no command line has looked at it."""
    with pytest.raises(UserError, match=f"{name}.*'best' is unknown: choose one of"):
        config.with_options(**{name: "best"})  # pyright: ignore[reportArgumentType]  # wrong on purpose


def test_each_cell_spends_its_budget_to_within_half_a_step(config: SweepConfig, corpus: Corpus) -> None:
    for planned in make_plan(config, corpus).grid:
        step = planned.cell.flops / planned.cell.steps
        assert abs(planned.cell.flops - planned.budget) <= step / 2


def test_sizes_slide_with_the_budget(corpus: Corpus) -> None:
    config = load_config("cpu-demo")
    starts = [config.ladder.index(config.widths_at(b, corpus)[0]) for b in config.budgets]
    assert starts == sorted(starts)
    assert starts[-1] > starts[0]
    # With a width more below, the centre is in the middle; as it is, the ladder's end keeps it out of it.
    longer = config.with_options(ladder=(8, *config.ladder))
    assert longer.widths_at(config.centre_budget, corpus)[config.sizes // 2] == config.centre_width
    assert config.widths_at(config.centre_budget, corpus)[config.sizes // 2 - 1] == config.centre_width


def test_cells_of_one_width_share_warm_up_and_rate(config: SweepConfig, corpus: Corpus) -> None:
    config = config.with_options(rates=RULE, batch_exponent=0.38)
    recipes = {p.cell.recipe for p in make_plan(config, corpus).grid}
    assert len(recipes) == len(config.ladder)
    (horizon,) = {config.horizon(p.cell.tokens) for p in make_plan(config, corpus).grid}
    for recipe in recipes:
        assert recipe.optimizer.peak_lr == pytest.approx(RULE.at(recipe.model.width, horizon), rel=1e-5)
        assert recipe.batch_size == config.batch_at(horizon)
        assert recipe.schedule.warmup_steps == config.warmup_at(horizon)


@given(
    budgets=st.lists(st.floats(1e8, 1e10), min_size=2, max_size=5, unique=True).map(sorted),
    further=st.floats(1e8, 1e11),
    span=st.floats(1.5, 100.0),
    schedule=st.sampled_from(["wsd", "cosine"]),
)
def test_a_further_budget_leaves_the_others_cells_as_they_are(
    budgets: list[float], further: float, span: float, schedule: str, config: SweepConfig, corpus: Corpus
) -> None:
    """A recipe follows from the width and the tokens alone: rate, batch and warm-up too."""
    config = config.with_options(
        budgets=tuple(budgets), trunk_span=span, schedule=schedule, rates=RULE, batch_exponent=0.38, seeds=2
    )
    more = config.with_options(budgets=tuple(sorted({*budgets, further})))
    own, with_more = (
        [p.cell.cell_id for p in grid_cells(c, corpus, RULE) if p.budget in budgets] for c in (config, more)
    )
    assert own == with_more


def test_runs_share_a_trunk_within_a_span(config: SweepConfig) -> None:
    config = config.with_options(trunk_span=4.0, rates=Rates(0.01, base_tokens=1e6))
    tokens = np.geomspace(1e4, 1e8, 400)
    middles = np.array([config.horizon(float(n)) for n in tokens])
    assert (np.abs(np.log(tokens / middles)) <= math.log(2) * (1 + 1e-9)).all()
    np.testing.assert_allclose(np.diff(np.log(np.unique(middles))), math.log(4))
    assert 1e6 in middles
    alone = config.with_options(schedule="cosine")
    assert [alone.horizon(float(n)) for n in tokens] == tokens.tolist()


@pytest.mark.parametrize(
    ("tokens", "windows"), [(1e4, 1), (1e6, 4), (2e6, 6), (4e6, 6), (1e7, 8), (3e7, 16), (1e9, 48)]
)
def test_the_batch_grows_with_the_tokens_in_two_digits(
    tokens: float, windows: int, config: SweepConfig
) -> None:
    config = config.with_options(batch_size=4, batch_exponent=0.38)
    assert config.batch_at(tokens) == windows
    exact = 4 * (tokens / config.rates.base_tokens) ** 0.38
    assert windows == pytest.approx(max(exact, 1), rel=0.26)
    assert config.with_options(batch_exponent=0.0).batch_at(tokens) == 4


@pytest.mark.parametrize(("context", "windows"), [(32, 8), (64, 4), (512, 1)])
def test_a_batch_of_tokens_has_windows_by_their_length(
    context: int, windows: int, config: SweepConfig
) -> None:
    config = config.with_options(batch_tokens=256, context_length=context)
    assert config.batch_at(1e4) == config.batch_at(1e8) == windows
    growing = config.with_options(batch_exponent=0.5)
    assert growing.batch_at(4 * growing.rates.base_tokens) == 2 * windows


def test_warm_up_is_a_share_of_the_middle_of_the_span(config: SweepConfig) -> None:
    config = config.with_options(batch_size=4, batch_exponent=0.38, warmup_share=0.1)
    for horizon in (1e5, 1e6, 3e7):
        steps = horizon / (config.batch_at(horizon) * config.model.context_length)
        assert config.warmup_at(horizon) == pytest.approx(0.1 * steps, abs=0.5)
    assert config.with_options(warmup_share=0.0).warmup_at(1e6) == 1


def test_the_price_is_the_sum_of_its_segments(config: SweepConfig, corpus: Corpus) -> None:
    plan = make_plan(config.with_options(checks=True), corpus)
    price = plan.price(lambda recipe: 0.5, workers=2)
    cells = sum(p.cell.flops for p in plan.grid)
    assert price.fresh_flops == cells
    assert 0.6 * cells < price.grid_flops < cells
    assert price.check_flops > 0 == price.tuning_flops
    assert price.total_flops == price.grid_flops + price.check_flops
    segments = [s for stage in (plan.grid, plan.checks) for s in plan.tree(stage).segments.values()]
    steps = sum(s.stop - s.start for s in segments)
    assert price.seconds == pytest.approx((0.5 * steps + 3 * COMPILE_SECONDS) / 2)
    assert price.disk_peak == sum(12 * s.recipe.ledger.params("total") for s in segments)


def test_what_is_kept_is_part_of_the_price(config: SweepConfig, corpus: Corpus) -> None:
    kept = {}
    for keep in ("none", "trunks", "all"):
        plan = make_plan(config.with_options(keep=keep), corpus)
        price = plan.price()
        kept[keep] = price.disk_kept
        segments = plan.tree(plan.grid).segments.values()
        assert {is_kept(plan.config.keep, s) for s in segments if s.total is None} == {keep != "none"}
        assert {is_kept(plan.config.keep, s) for s in segments if s.total} == {keep == "all"}
    assert 0 == kept["none"] < kept["trunks"] < kept["all"] == price.disk_peak


def test_tuning_and_checks_are_planned(config: SweepConfig, corpus: Corpus) -> None:
    tried, horizons = (0.5, 1.0, 2.0), (4e3, 1.6e4)
    rates = Rates(0.06, 0.5, 0.2, 1e3, tried, (8, 16), horizons, seeds=2)
    config = config.with_options(rates=rates, checks=True, seeds=3, seed=1, trunk_span=2.0)
    plan = make_plan(config, corpus)
    assert len(plan.tuning) == 3 * 2 * 2 * 2
    places = [(p.cell.recipe.model.width, p.cell.recipe.init_seed) for p in plan.tuning]
    assert places == [(width, seed) for width in (8, 16) for _ in range(6) for seed in (1, 2)]
    tokens = [p.cell.tokens for p in plan.tuning[:12]]
    assert tokens == pytest.approx([4e3] * 6 + [1.6e4] * 6, rel=0.02)
    assert {p.cell.split for p in plan.tuning} == {"tune"}
    assert {p.cell.split for p in plan.grid} == {"heldout"}
    lrs = [p.cell.recipe.optimizer.peak_lr for p in plan.tuning[6:12:2]]
    assert lrs == pytest.approx([rates.at(8, 1.6e4) * factor for factor in tried], rel=1e-5)
    assert [(p.budget, p.role, p.cell.recipe.init_seed) for p in plan.checks] == [
        (budget, role, 1)
        for budget in config.budgets
        for role in ("fresh_cosine", "rate_half", "rate_double")
    ]


def test_one_budget_is_checked_once(config: SweepConfig, corpus: Corpus) -> None:
    assert len(make_plan(config.with_options(budgets=(2e8,), checks=True), corpus).checks) == 3


def test_a_corpus_too_small_says_how_small(config: SweepConfig, corpus: Corpus) -> None:
    tokens = corpus.n_tokens("train")
    with pytest.raises(
        UserError, match=rf"is too small: it has {tokens:,} training tokens, and width 8 at 1e\+11"
    ):
        make_plan(config.with_options(budgets=(1e8, 1e11)), corpus)


def test_repeats_are_allowed_if_asked_for_and_told(config: SweepConfig, corpus: Corpus) -> None:
    plan = make_plan(config.with_options(budgets=(1e10, 2e10), max_epochs=5), corpus)
    assert any("repeats tokens" in warning for warning in plan.warnings)
    assert not any("repeats tokens" in warning for warning in make_plan(config, corpus).warnings)


def test_a_part_of_the_corpus_that_is_repeated(config: SweepConfig, corpus: Corpus) -> None:
    whole = make_plan(config, corpus)
    ids = [planned.cell.cell_id for planned in whole.grid]
    unique = sorted(planned.cell.tokens for planned in whole.grid)[2] // 32 * 32
    part = config.with_options(unique_tokens=unique)
    with pytest.raises(UserError, match=r"unique_tokens [\d,]+ are too few, and width 8 ") as refused:
        make_plan(part, corpus)
    assert "raise unique_tokens, or allow" in str(refused.value)
    asked = float(str(refused.value).rpartition(" --max-epochs ")[2])
    plan = make_plan(part.with_options(max_epochs=asked), corpus)
    assert not any("repeats" in warning for warning in plan.warnings)
    for fresh, planned in zip(ids, plan.grid, strict=True):
        # A run that ends before the part is used up is a run on the whole: no other name, and no other work.
        assert (planned.cell.cell_id == fresh) == (planned.cell.tokens <= unique)
        assert planned.cell.recipe.unique_windows == (None if planned.cell.tokens <= unique else unique // 32)
    with pytest.raises(UserError, match="must be a multiple of context_length, 32"):
        config.with_options(unique_tokens=1000)
    with pytest.raises(UserError, match=r"unique_tokens 320,000,000: .* training tokens: lower it"):
        make_plan(config.with_options(unique_tokens=320_000_000), corpus)


def test_starved_cells_are_warned_of_and_kept(config: SweepConfig, corpus: Corpus) -> None:
    plan = make_plan(config.with_options(budgets=(2e7,)), corpus)
    assert len(plan.grid) == 3
    assert sum("starved of steps" in warning for warning in plan.warnings) == 3
    assert any("starved of data" in warning for warning in plan.warnings)


def test_a_budget_under_one_step_is_refused(config: SweepConfig, corpus: Corpus) -> None:
    with pytest.raises(
        UserError, match=r"budget 1e\+06 FLOPs is under one step of width 8 \(.* FLOPs\): raise"
    ):
        make_plan(config.with_options(budgets=(1e6,)), corpus)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"budgets": ()}, "budgets is empty"),
        ({"budgets": (0.0,)}, "positive"),
        ({"budgets": (-1e9,)}, "positive"),
        ({"budgets": (float("nan"),)}, "finite"),
        ({"budgets": (2e8, 1e8)}, "budgets must rise"),
        ({"ladder": (16, 16, 24)}, "ladder must rise"),
        ({"sizes": 4}, "sizes 4"),
        ({"sizes": 0}, "sizes 0"),
        ({"centre_width": 32}, "centre_width 32"),
        ({"centre_width": 20}, "centre_width 20: must be a multiple of 8"),
        ({"ladder": (8, 12)}, "ladder .*12.*: must be a multiple of 8"),
        ({"trunk_span": 1.0}, "trunk_span 1.0"),
        ({"batch_exponent": -0.1}, "batch_exponent"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"decay_fraction": 1.0}, "decay_fraction"),
        ({"warmup_share": -0.1}, "warmup_share"),
        ({"max_epochs": 0.0}, "max_epochs"),
        ({"checkpoint_steps": 0}, "checkpoint_steps"),
        ({"rates": {"coefficient": 0.0}}, "rates.coefficient 0.0: must be a positive number"),
        ({"rates": {"coefficient": 0.1, "exponent": 1e9}}, "rates.exponent"),
        ({"rates": {"coefficient": 0.1, "tried": (0.5, 1.0, 2.0)}}, "give all, or none"),
        ({"eval_windows": 1}, "eval_windows"),
        ({"tune_windows": 0}, "tune_windows"),
        ({"seeds": 0}, "seeds 0"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"seed": 2**31 - 1, "seeds": 2}, "seed 2147483647: must be at most"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_sweep("text:nowhere", **{k: Rates(**v) if k == "rates" else v for k, v in wrong.items()})


@pytest.mark.parametrize("wrong", [{"eval_windows": 100_000}, {"context_length": 48}])
def test_a_config_that_does_not_fit_its_corpus_is_refused(
    config: SweepConfig, corpus: Corpus, wrong: dict[str, Any]
) -> None:
    with pytest.raises(UserError):
        make_plan(config.with_options(**wrong), corpus)


def test_a_full_disk_is_refused_before_anything_runs(
    config: SweepConfig, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = make_plan(config, corpus).price()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=price.disk_peak))
    refuse_full_disk(tmp_path / "not" / "there" / "yet", price)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=price.disk_peak - 1))
    with pytest.raises(UserError, match="no disk space: the sweep's checkpoints take up to"):
        refuse_full_disk(tmp_path / "not" / "there" / "yet", price)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"budgets": (2e8,)}, ["too few runs to fit a law: 3 distinct", "too few budgets for approaches 1"]),
        ({"sizes": 1, "ladder": (16,)}, ["too few runs to fit a law: 2 distinct", "too few sizes for a"]),
        ({"budgets": (1e8, 2e8, 4e8), "sizes": 2}, ["too few sizes for a minimum: 2 a budget"]),
        ({}, []),
    ],
)
def test_a_grid_that_cannot_be_fitted_says_so_in_its_plan(
    config: SweepConfig, corpus: Corpus, changes: dict[str, Any], says: list[str]
) -> None:
    warnings = [w for w in make_plan(config.with_options(**changes), corpus).warnings if "too few" in w]
    assert len(warnings) == len(says)
    assert all(warning.startswith(part) for warning, part in zip(warnings, says, strict=True))
    assert len(find_law("chinchilla").parameters) == LAW_PARAMETERS


@pytest.mark.parametrize("command", [plan_command.run, sweep_command.run], ids=["plan", "sweep"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--devices", "3"], "batch_size 4 can't be divided among 3 devices"),
        (["--platform", "gpu"], "platform gpu was asked for and this machine has none: JAX has no plugin"),
        (["--platform", "tpu"], "platform tpu was asked for and this machine has none: JAX has no plugin"),
    ],
)
def test_what_the_machine_cannot_do_is_refused_before_anything_is_prepared(
    command: Callable[[list[str]], int],
    options: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child, "ACCELERATOR_PLUGINS", ())
    (tmp_path / "mine.py").write_text(
        "from tests.support.small import small_sweep\nSWEEP = small_sweep('text:nowhere.txt')\n"
    )
    with pytest.raises(UserError, match=says):
        command(["mine.py", *options])
    assert not (tmp_path / "outputs").exists()


def test_a_plugin_without_a_device_is_no_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "ACCELERATOR_PLUGINS", ("json",))
    monkeypatch.setattr(child, "DEVICE_FILES", {"gpu": ("/nowhere/device",)})
    with pytest.raises(UserError, match="there is no device"):
        child.refuse_missing_platform(Execution(platform="gpu"))
    monkeypatch.setattr(child, "DEVICE_FILES", {"gpu": ("/dev/null",)})
    child.refuse_missing_platform(Execution(platform="gpu"))


def test_a_launcher_says_what_it_lacks_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no SLURM here"):
        sweep_command.run(["h200-ladder", "--launcher", "slurm"])
    assert not (tmp_path / "outputs").exists()
