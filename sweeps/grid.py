"""The cells of a sweep, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from models.errors import UserError
from sweeps.config import Rates, SweepConfig
from train.corpus import Corpus
from train.spec import OPTIMIZERS, CellSpec, Recipe, Schedule, Split

Role = Literal["grid", "replicate", "tune", "fresh_cosine", "rate_half", "rate_double"]


@dataclass(frozen=True)
class PlannedCell:
    """A cell and its place: the nominal budget (FLOPs) it belongs to, what it is for, and the rule that its
    learning rate is by."""

    cell: CellSpec
    budget: float
    role: Role
    lr_rule: str


def grid_cells(config: SweepConfig, corpus: Corpus, rates: Rates) -> list[PlannedCell]:
    """Every budget at each of its widths."""
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
    model = config.model(width, corpus)
    recipe = Recipe(
        model=model,
        data=corpus.spec,
        optimizer=OPTIMIZERS[config.optimizer](
            # Six digits: the rate must not hang on the last bit of a power.
            peak_lr=float(f"{rate:.6g}"),
            beta2=config.beta2,
            weight_decay=config.weight_decay,
            clip=config.clip,
        ),
        schedule=Schedule(config.schedule, 0, decay_fraction=config.decay_fraction),
        batch_size=config.batch_size,
        init_seed=config.seed,
        data_seed=config.seed,
        parametrization=config.parametrization,
        dtype=config.dtype,
    )
    step_flops = recipe.batch_tokens * recipe.ledger.train_flops
    steps = round(budget / step_flops)
    if steps < 1:
        raise UserError(
            f"budget {budget:.3g} FLOPs is under one step of width {width} ({step_flops:.3g} FLOPs): "
            "raise the budget, or lower batch_size or the widths"
        )
    schedule = replace(recipe.schedule, warmup_steps=_warmup(config, corpus, width, step_flops, budget))
    recipe = replace(recipe, schedule=schedule)
    tuning = role == "tune"
    split: Split = "tune" if tuning else "heldout"
    windows = config.tune_windows if tuning else config.eval_windows
    return PlannedCell(CellSpec(recipe, steps, split, windows), budget, role, lr_rule)


def _warmup(config: SweepConfig, corpus: Corpus, width: int, step_flops: int, budget: float) -> int:
    """A share of the steps of the width's smallest cell: a trunk has one warm-up for all its budgets."""
    own = [b for b in config.budgets if width in config.widths_at(b, corpus)]
    return max(1, round(config.warmup_share * min([*own, budget]) / step_flops))


def reseeded(cell: CellSpec, seed: int) -> CellSpec:
    """The same cell under another seed of initialization and data order."""
    return replace(cell, recipe=replace(cell.recipe, init_seed=seed, data_seed=seed))


def _at_rate(recipe: Recipe, rate: float) -> Recipe:
    return replace(recipe, optimizer=replace(recipe.optimizer, peak_lr=rate))
