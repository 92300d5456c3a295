"""The cells of a sweep, stage by stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from isoflop.base.errors import UserError
from isoflop.models import ModelConfig, ledger
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates
from isoflop.train.spec import CellSpec, DataSpec, Recipe, Schedule, Split

if TYPE_CHECKING:
    from isoflop.train.data.corpus import Corpus

Role = Literal["grid", "retry", "tune", "fresh_cosine", "rate_half", "rate_double"]


RETRY_SEED = 1_000_000
"""Between the seed of a cell and that of its next attempt."""


@dataclass(frozen=True)
class PlannedCell:
    """A cell and its place: the nominal budget (FLOPs) it belongs to, what it is for, the rule that its
    learning rate is by, and the values of the sweep's axes, each with its option's name."""

    cell: CellSpec
    budget: float
    role: Role
    lr_rule: str
    settings: tuple[tuple[str, Any], ...] = ()


def distinct(planned: Iterable[PlannedCell]) -> dict[str, CellSpec]:
    """Cells by id, in order: one that stands at several values of an axis is trained once."""
    return {p.cell.cell_id: p.cell for p in planned}


def grid_cells(config: SweepConfig, corpus: Corpus, rates: Rates) -> list[PlannedCell]:
    """Every budget at each of its widths under each seed, of one variant of a sweep."""
    pairs = [(b, w) for b in config.budgets for w in config.widths_at(b, corpus)]
    return [
        with_seed(cell_at(config, corpus, width, budget, rates), config.seed + k)
        for budget, width in pairs
        for k in range(config.seeds)
    ]


def tuning_cells(config: SweepConfig, corpus: Corpus) -> list[PlannedCell]:
    """Every rate tried at each width and horizon under each seed, evaluated on the tuning windows."""
    rates = config.rates
    return [
        with_seed(cell_at(config, corpus, width, budget, rates, "tune", factor), config.seed + k)
        for width in rates.widths
        for budget in (
            ledger(config.model_at(width, corpus)).train_flops * tokens for tokens in rates.horizons
        )
        for factor in rates.tried
        for k in range(rates.seeds)
    ]


def retry_cells(diverged: list[PlannedCell], attempt: int) -> list[PlannedCell]:
    """Cells that diverged, again: at attempt 1 at half their rate, at 2 at a quarter, and so on, each time
    under another seed of initialization and data order."""
    factor = 0.5**attempt
    cells = []
    for planned in diverged:
        recipe = planned.cell.recipe
        cell = reseeded(planned.cell, (recipe.init_seed + RETRY_SEED * attempt) % 2**31)
        slower = _at_rate(cell.recipe, float(f"{recipe.optimizer.peak_lr * factor:.6g}"))
        rule = f"{factor:g} * {planned.lr_rule}"
        cells.append(replace(planned, cell=replace(cell, recipe=slower), role="retry", lr_rule=rule))
    return cells


def check_cells(config: SweepConfig, minima: Sequence[PlannedCell]) -> list[PlannedCell]:
    """At the least and the largest budget's minimum, under the first seed: a fresh cosine run, and the rule's
    rate halved and doubled."""
    if not config.checks:
        return []
    ends = {planned.budget: planned for planned in (minima[0], minima[-1])}.values()
    return [check for planned in ends for check in _checks_of(with_seed(planned, config.seed))]


def _checks_of(planned: PlannedCell) -> list[PlannedCell]:
    recipe, rule = planned.cell.recipe, planned.lr_rule
    cosine = replace(recipe, schedule=replace(recipe.schedule, name="cosine"))
    half, double = (_at_rate(recipe, factor * recipe.optimizer.peak_lr) for factor in (0.5, 2.0))
    changed: list[tuple[Role, Recipe, str]] = [
        ("fresh_cosine", cosine, rule),
        ("rate_half", half, f"0.5 * {rule}"),
        ("rate_double", double, f"2 * {rule}"),
    ]
    return [
        replace(planned, cell=replace(planned.cell, recipe=r), role=role, lr_rule=rule)
        for role, r, rule in changed
    ]


def cell_at(
    config: SweepConfig,
    corpus: Corpus,
    width: int,
    budget: float,
    rates: Rates,
    role: Role = "grid",
    factor: float = 1.0,
) -> PlannedCell:
    """One width on one budget (FLOPs) under the config's first seed, at `factor` times the rule's rate.

    Rate, batch and warm-up follow the run's horizon (`SweepConfig.horizon`). Raises `UserError` for a budget
    under one step.
    """
    model = config.model_at(width, corpus)
    token_flops = ledger(model).train_flops
    horizon = config.horizon(budget / token_flops)
    batch_size = config.batch_at(horizon)
    step_tokens = batch_size * config.model.context_length
    steps = round(budget / (step_tokens * token_flops))
    if steps < 1:
        raise UserError(
            f"budget {budget:.3g} FLOPs is under one step of width {width} ({step_tokens * token_flops:.3g} "
            "FLOPs): raise the budget, or lower batch_size or the widths"
        )
    # Six digits: the rate must not hang on the last bit of a power.
    rate = float(f"{factor * rates.at(width, horizon):.6g}")
    recipe = _recipe(config, corpus.spec, model, rate, config.warmup_at(horizon), batch_size)
    if 0 < config.unique_tokens < steps * step_tokens:
        recipe = _repeating(recipe, config.unique_tokens // config.model.context_length)
    tuning = role == "tune"
    split: Split = "tune" if tuning else "heldout"
    windows = config.tune_windows if tuning else config.eval_windows
    further = () if tuning else config.eval_data
    rule = str(rates) if factor == 1.0 else f"{factor:g} * {rates}"
    cell = CellSpec(recipe, steps, split, windows, further)
    return PlannedCell(cell, budget, role, rule, config.settings)


@lru_cache(maxsize=1 << 14)
def _recipe(
    config: SweepConfig, data: DataSpec, model: ModelConfig, rate: float, warmup: int, batch_size: int
) -> Recipe:
    """One value for all the cells that share it, so that its ledger and its name are made once."""
    return Recipe(
        model=model,
        data=data,
        optimizer=config.optimizer.at(rate),
        schedule=Schedule(**vars(config.schedule), warmup_steps=warmup),
        batch_size=batch_size,
        init_seed=config.seed,
        data_seed=config.seed,
        parametrization=config.parametrization,
        dtype=config.dtype,
        distillation=config.distillation,
    )


@lru_cache(maxsize=1 << 14)
def _repeating(recipe: Recipe, unique_windows: int) -> Recipe:
    return replace(recipe, unique_windows=unique_windows)


def with_seed(planned: PlannedCell, seed: int) -> PlannedCell:
    """The same cell under another seed of initialization and data order."""
    return replace(planned, cell=reseeded(planned.cell, seed))


def reseeded(cell: CellSpec, seed: int) -> CellSpec:
    """The same cell under another seed of initialization and data order."""
    return replace(cell, recipe=replace(cell.recipe, init_seed=seed, data_seed=seed))


def _at_rate(recipe: Recipe, rate: float) -> Recipe:
    return replace(recipe, optimizer=replace(recipe.optimizer, peak_lr=rate))
