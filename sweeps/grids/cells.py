"""The cells of a sweep, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from isoflop.base.errors import UserError
from isoflop.models import ModelConfig, ledger
from isoflop.sweeps.grids.config import Rates, SweepConfig
from isoflop.train.spec import CellSpec, DataSpec, Recipe, Schedule, Split

if TYPE_CHECKING:
    from isoflop.train.data.corpus import Corpus

Role = Literal["grid", "retry", "replicate", "tune", "fresh_cosine", "rate_half", "rate_double"]


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


def grid_cells(config: SweepConfig, corpus: Corpus, rates: Rates) -> list[PlannedCell]:
    """Every budget at each of its widths, of one variant of a sweep."""
    pairs = [(b, w) for b in config.budgets for w in config.widths_at(b, corpus)]
    return [cell_at(config, corpus, width, budget, rates.at(width), str(rates)) for budget, width in pairs]


def tuning_cells(config: SweepConfig, corpus: Corpus) -> list[PlannedCell]:
    """The anchors at every rate tried, evaluated on the tuning windows."""
    return [
        cell_at(
            config,
            corpus,
            width,
            budget,
            config.rates.at(width) * factor,
            f"{factor:g} * {config.rates}",
            "tune",
        )
        for width, budget in config.rates.anchors
        for factor in config.rates.tried
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


def replicate_cells(config: SweepConfig, minima: list[PlannedCell]) -> list[PlannedCell]:
    """The best cell of each budget again, under further seeds of initialization and data order."""
    return [
        replace(planned, cell=reseeded(planned.cell, config.seed + 1 + extra), role="replicate")
        for planned in minima
        for extra in range(config.replicates)
    ]


def check_cells(config: SweepConfig, largest: PlannedCell) -> list[PlannedCell]:
    """At the largest budget's minimum: a fresh cosine run, and the rule's rate halved and doubled."""
    if not config.checks:
        return []
    recipe = largest.cell.recipe
    cosine = replace(recipe, schedule=replace(recipe.schedule, name="cosine"))
    changed: list[tuple[Role, Recipe]] = [
        ("fresh_cosine", cosine),
        ("rate_half", _at_rate(recipe, recipe.optimizer.peak_lr / 2)),
        ("rate_double", _at_rate(recipe, 2 * recipe.optimizer.peak_lr)),
    ]
    rule = largest.lr_rule
    rules = (rule, f"0.5 * {rule}", f"2 * {rule}")
    return [
        replace(largest, cell=replace(largest.cell, recipe=r), role=role, lr_rule=rule)
        for (role, r), rule in zip(changed, rules, strict=True)
    ]


def cell_at(
    config: SweepConfig,
    corpus: Corpus,
    width: int,
    budget: float,
    rate: float,
    lr_rule: str,
    role: Role = "grid",
) -> PlannedCell:
    """One width on one budget (FLOPs) at a peak rate. Raises `UserError` for a budget under one step."""
    step_flops = (
        config.batch_size * config.model.context_length * ledger(config.model_at(width, corpus)).train_flops
    )
    steps = round(budget / step_flops)
    if steps < 1:
        raise UserError(
            f"budget {budget:.3g} FLOPs is under one step of width {width} ({step_flops:.3g} FLOPs): "
            "raise the budget, or lower batch_size or the widths"
        )
    warmup = _warmup(config, corpus, width, step_flops, budget)
    # Six digits: the rate must not hang on the last bit of a power.
    recipe = _recipe(config, corpus.spec, config.model_at(width, corpus), float(f"{rate:.6g}"), warmup)
    tuning = role == "tune"
    split: Split = "tune" if tuning else "heldout"
    windows = config.tune_windows if tuning else config.eval_windows
    further = () if tuning else config.eval_data
    cell = CellSpec(recipe, steps, split, windows, further)
    return PlannedCell(cell, budget, role, lr_rule, config.settings)


@lru_cache(maxsize=1 << 14)
def _recipe(config: SweepConfig, data: DataSpec, model: ModelConfig, rate: float, warmup: int) -> Recipe:
    """One value for all the cells that share it, so that its ledger and its name are made once."""
    return Recipe(
        model=model,
        data=data,
        optimizer=config.optimizer.at(rate),
        schedule=Schedule(**vars(config.schedule), warmup_steps=warmup),
        batch_size=config.batch_size,
        init_seed=config.seed,
        data_seed=config.seed,
        parametrization=config.parametrization,
        dtype=config.dtype,
    )


def _warmup(config: SweepConfig, corpus: Corpus, width: int, step_flops: int, budget: float) -> int:
    """A share of the steps of the width's smallest cell: a trunk has one warm-up for all its budgets."""
    smallest = min(budget, config.least_budgets(corpus).get(width, budget))
    return max(1, round(config.warmup_share * smallest / step_flops))


def reseeded(cell: CellSpec, seed: int) -> CellSpec:
    """The same cell under another seed of initialization and data order."""
    return replace(cell, recipe=replace(cell.recipe, init_seed=seed, data_seed=seed))


def _at_rate(recipe: Recipe, rate: float) -> Recipe:
    return replace(recipe, optimizer=replace(recipe.optimizer, peak_lr=rate))
