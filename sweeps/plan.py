"""The plan: a sweep's cells and segments, and their price before anything runs."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief
from isoflop.sweeps.grids.cells import PlannedCell, check_cells, distinct, grid_cells, tuning_cells
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.segments import Cuts, Tree, build_tree, uncut
from isoflop.sweeps.grids.stages import CHECK, GRID, TUNING, short_name
from isoflop.sweeps.queue.board import is_kept
from isoflop.sweeps.row import COLUMNS
from isoflop.sweeps.teachers import refuse_unfit_teacher
from isoflop.train.checkpoint import BYTES_PER_PARAMETER
from isoflop.train.data.corpus import Corpus
from isoflop.train.execution import Execution
from isoflop.train.result import loss_column
from isoflop.train.spec import Recipe, Segment

if TYPE_CHECKING:
    import pandas as pd

StepSeconds = Callable[[Recipe], float]
"""Seconds one step of a recipe takes in one worker."""

COMPILE_SECONDS = 7.0
"""Compiling one width's programs for the first time, on one CPU core; measured, 6 to 8."""

LAW_PARAMETERS = 5
"""Of the law that a report fits by approach 3, L = E + A/N^alpha + B/D^beta."""
LEAST_BUDGETS = 2
"""Minima that an exponent of approaches 1 and 2 takes; two give it no error."""
LEAST_SIZES = 3
"""Of a budget, for a parabola through them to have a minimum."""

STARVED_STEPS = 200
STARVED_TOKENS_PER_PARAMETER = 1.0


@dataclass(frozen=True)
class Price:
    """What a sweep costs. FLOPs by the exact ledger; `fresh_flops`: the grid, each cell trained alone from
    initialization; `forecast_flops`: the cells of registered forecasts, without what they share with the
    grid's trunks; `seconds` None where no calibration was asked for; disk in bytes,
    `disk_peak` with every checkpoint there at once, `disk_kept` at the end."""

    tuning_flops: int
    grid_flops: int
    check_flops: int
    forecast_flops: int
    fresh_flops: int
    seconds: float | None
    disk_peak: int
    disk_kept: int

    @property
    def total_flops(self) -> int:
        """All that will be spent."""
        return self.tuning_flops + self.grid_flops + self.check_flops + self.forecast_flops


@dataclass(frozen=True, repr=False)
class Plan(Displayed):
    """The cells by stage. Checks stand at the sizes that the grid's centre guesses: the sweep puts them at
    the minima it finds. `forecasts`: those of registered forecasts."""

    config: SweepConfig
    corpus: Corpus
    eval_corpora: tuple[Corpus, ...]
    """Of the config's `eval_data`."""
    tuning: tuple[PlannedCell, ...]
    grid: tuple[PlannedCell, ...]
    checks: tuple[PlannedCell, ...]
    warnings: tuple[str, ...]
    forecasts: tuple[PlannedCell, ...] = ()
    axis_corpora: tuple[Corpus, ...] = ()
    """Of the values of an axis `data`."""

    @cached_property
    def corpora(self) -> dict[str, Corpus]:
        """By source, what cells are trained on where the corpus is an axis."""
        return {corpus.spec.source: corpus for corpus in self.axis_corpora}

    def corpus_of(self, source: str) -> Corpus:
        """The corpus that cells on this source are trained on."""
        return self.corpora.get(source, self.corpus)

    def sizes(self) -> tuple[PlannedCell, ...]:
        """The grid under its first seed: one cell for each budget and size."""
        return tuple(p for p in self.grid if p.cell.recipe.init_seed == self.config.seed)

    def to_frame(self) -> pd.DataFrame:
        """A row a cell, of every stage."""
        import pandas as pd

        return pd.DataFrame(self.cells())

    def cells(self) -> list[dict[str, Any]]:
        """Every cell of every stage, by the run table's names."""
        return [_facts(p) for p in (*self.tuning, *self.grid, *self.checks, *self.forecasts)]

    def summary(self) -> Summary:
        """The grid and its price."""
        names = ("budget", "d_model", "n_params_non_embedding", "n_tokens", "steps")
        axes = tuple(axis.option for axis in self.config.axes)
        rows = [
            (
                *(str(cell[axis]) for axis in axes),
                brief(cell["budget"]),
                *(f"{cell[name]:,}" for name in names[1:]),
            )
            for cell in map(_facts, self.sizes())
        ]
        price = self.price()
        notes = (f"{brief(price.total_flops)} FLOPs in all, tuning and checks included", *self.warnings)
        seeds = f" under {self.config.seeds} seeds" if self.config.seeds > 1 else ""
        text = f"{len(self.corpora)} corpora" if self.corpora else self.corpus.title
        title = f"Plan: {self.config.title}, {len(rows)} sizes{seeds} on {text}"
        return Summary(title, (*axes, *names), rows, notes)

    def tree(self, *stages: Sequence[PlannedCell], cuts: Cuts = uncut) -> Tree:
        """The segments of some stages' cells; `cuts` as in `build_tree`."""
        return build_tree((p.cell for stage in stages for p in stage), self.config.checkpoint_steps, cuts)

    def price(self, step_seconds: StepSeconds | None = None, workers: int = 1) -> Price:
        """The price, in time as well where the seconds of a step are known."""
        stages = (self.tuning, self.grid, self.checks, self.forecasts)
        trees = [self.tree(stage) for stage in stages]
        segments = [s for tree in trees for s in tree.segments.values()]
        return Price(
            *(tree.flops for tree in trees),
            fresh_flops=sum(cell.flops for cell in distinct(self.grid).values()),
            seconds=_seconds(segments, step_seconds, workers) if step_seconds else None,
            disk_peak=sum(_checkpoint_bytes(s) for s in segments),
            disk_kept=sum(_checkpoint_bytes(s) for s in segments if is_kept(self.config.keep, s)),
        )

    def cell_counts(self) -> dict[str, int]:
        """How many cells each stage trains, as far as that is known before it."""
        stages = {TUNING: self.tuning, GRID: self.grid, CHECK: self.checks}
        return {short_name(name): len(distinct(cells)) for name, cells in stages.items()}

    def refuse_batches(self, execution: Execution) -> None:
        """Raises `UserError` for a batch that the devices don't divide."""
        for batch_size in sorted({p.cell.recipe.batch_size for p in (*self.tuning, *self.grid)}):
            execution.refuse_batch(batch_size)


def make_plan(
    config: SweepConfig,
    corpus: Corpus,
    eval_corpora: Sequence[Corpus] = (),
    forecasts: Sequence[PlannedCell] = (),
    axis_corpora: Sequence[Corpus] = (),
) -> Plan:
    """The plan of a sweep. Raises `UserError` for a budget under one step or a corpus that is too small.

    `eval_corpora`: of the config's `eval_data`, in its order. `forecasts`: the cells of those registered in
    the sweep's folder. `axis_corpora`: of the values of an axis `data`, in their order.
    """
    tuning: list[PlannedCell] = []
    grid: list[PlannedCell] = []
    checks: list[PlannedCell] = []
    warnings: list[str] = []
    corpora = dict(zip(config.axis_values("data"), axis_corpora, strict=True))
    for variant in config.variants:
        trained_on = corpora.get(variant.data, corpus)
        _refuse_unended_documents(variant, trained_on)
        refuse_unfit_teacher(variant, trained_on)
        own, tried = grid_cells(variant, trained_on, variant.rates), tuning_cells(variant, trained_on)
        _refuse_small_corpus(variant, trained_on, [*own, *tried])
        _refuse_eval_corpora(variant, trained_on, eval_corpora)
        centres = _centres(own)
        tuning, grid = [*tuning, *tried], [*grid, *own]
        checks += check_cells(variant, centres)
        warnings += [*_too_few(variant, own), *_warnings(own, trained_on)]
    _refuse_equal_grids(config, grid)
    warnings += _teachers_cost(config, grid)
    return Plan(
        config=config,
        corpus=corpus,
        eval_corpora=tuple(eval_corpora),
        tuning=tuple(tuning),
        grid=tuple(grid),
        checks=tuple(checks),
        warnings=tuple(dict.fromkeys(warnings)),
        forecasts=tuple(forecasts),
        axis_corpora=tuple(axis_corpora),
    )


def _refuse_unended_documents(config: SweepConfig, corpus: Corpus) -> None:
    if not config.across_documents and corpus.eos is None:
        raise UserError(
            f"{corpus.spec.source} has no one id that ends a document: drop --no-across-documents"
        )


def _refuse_equal_grids(config: SweepConfig, grid: Sequence[PlannedCell]) -> None:
    """Raises `UserError` where two variants have the same cells, all of them."""
    grids: dict[frozenset[str], tuple[tuple[str, Any], ...]] = {}
    for variant in config.variants:
        cells = frozenset(distinct(p for p in grid if p.settings == variant.settings))
        other = grids.setdefault(cells, variant.settings)
        if other != variant.settings:
            one, two = (_named(settings) for settings in (other, variant.settings))
            raise UserError(f"axes: {one} and {two} make the same grid, cell by cell: drop one of them")


def refuse_one_batch(config: SweepConfig, execution: Execution) -> None:
    """Raises `UserError` for a batch that the devices don't divide, where it is one for all runs and no
    corpus is needed to tell; else `Plan.refuse_batches` does."""
    for variant in config.variants:
        if not variant.batch_exponent:
            execution.refuse_batch(variant.batch_at(variant.rates.base_tokens))


def refuse_full_disk(path: Path, price: Price) -> None:
    """Raises `UserError` if the checkpoints don't fit on the disk of `path`."""
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < price.disk_peak:  # what is there already is part of the price
        free += sum(f.stat().st_size for f in (path / "checkpoints").rglob("*") if f.is_file())
    if free < price.disk_peak:
        raise UserError(
            f"no disk space: the sweep's checkpoints take up to {price.disk_peak / 1e9:.2f} GB and "
            f"{path} has {free / 1e9:.2f} GB free: make room, choose another --out, or trim budgets and sizes"
        )


def _facts(planned: PlannedCell) -> dict[str, Any]:
    """A cell by the run table's names."""
    return {
        "cell_id": planned.cell.cell_id,
        "role": planned.role,
        "budget": planned.budget,
        "d_model": planned.cell.recipe.model.width,
        "init_seed": planned.cell.recipe.init_seed,
        "n_params_non_embedding": planned.cell.recipe.ledger.params(),
        "n_tokens": planned.cell.tokens,
        "steps": planned.cell.steps,
        "flops": planned.cell.flops,
    } | dict(planned.settings)


def _centres(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    """A cell of the middle size of each budget."""
    budgets: dict[float, dict[int, PlannedCell]] = {}
    for planned in cells:
        sizes = budgets.setdefault(planned.budget, {})
        sizes.setdefault(planned.cell.recipe.model.width, planned)
    return [list(sizes.values())[len(sizes) // 2] for _, sizes in sorted(budgets.items())]


def _refuse_small_corpus(config: SweepConfig, corpus: Corpus, cells: Sequence[PlannedCell]) -> None:
    context = config.model.context_length
    corpus.require_windows("heldout", context, config.eval_windows)
    if config.rates.tried:
        corpus.require_windows("tune", context, config.tune_windows)
    have = corpus.n_tokens("train")
    if config.unique_tokens > have:
        raise UserError(
            f"unique_tokens {config.unique_tokens:,}: {corpus.spec.source} has {have:,} training tokens: "
            "lower it, or take a larger corpus"
        )
    worst = max(cells, key=lambda p: p.cell.tokens)
    if worst.cell.tokens > config.most_tokens(corpus):
        few = f"{corpus.spec.source} is too small: it has {have:,} training tokens"
        more = "take a larger corpus"
        if config.unique_tokens:
            few, more = f"unique_tokens {config.unique_tokens:,} are too few", "raise unique_tokens"
        passes = _rounded_up(worst.cell.tokens / (config.unique_tokens or have))
        raise UserError(
            f"{few}, and width {worst.cell.recipe.model.width} at {worst.budget:.3g} FLOPs wants "
            f"{worst.cell.tokens:,}: lower the budgets, raise the widths, {more}, or allow repeats with "
            f"--max-epochs {passes:g}"
        )


def _rounded_up(passes: float) -> float:
    """A number of passes in two digits, and no fewer: what is advised must do."""
    unit = 10.0 ** (math.floor(math.log10(passes)) - 1)
    return math.ceil(passes / unit) * unit


def _refuse_eval_corpora(config: SweepConfig, corpus: Corpus, further: Sequence[Corpus]) -> None:
    """Raises `UserError` for a further corpus that the models can't be evaluated on, or has no column."""
    columns = [loss_column(source) for source in config.eval_data]
    for source, column, other in zip(config.eval_data, columns, further, strict=True):
        if columns.count(column) > 1 or column in COLUMNS:
            raise UserError(f"eval_data {source}: another column is called {column}: drop or rename it")
        if other.vocab_size != corpus.vocab_size:
            raise UserError(
                f"eval_data {source}: has {other.vocab_size} token ids and {corpus.spec.source} has "
                f"{corpus.vocab_size}: take a corpus of the same tokenizer"
            )
        other.require_windows("heldout", config.model.context_length, config.eval_windows)


def _too_few(config: SweepConfig, cells: Sequence[PlannedCell]) -> list[str]:
    """What of the grid can't be fitted, however well it is trained."""
    warnings = []
    distinct = len({(p.cell.recipe.ledger.params(), p.cell.tokens) for p in cells})
    if distinct <= LAW_PARAMETERS:
        warnings.append(
            f"too few runs to fit a law: {distinct} distinct (N, D), and approach 3 has {LAW_PARAMETERS} "
            f"parameters: add budgets or sizes until there are {LAW_PARAMETERS + 1} at least, better 15"
        )
    if len(config.budgets) < LEAST_BUDGETS:
        warnings.append(
            f"too few budgets for approaches 1 and 2: {len(config.budgets)}, and an exponent takes "
            f"{LEAST_BUDGETS} at least: add to --budgets"
        )
    if config.sizes < LEAST_SIZES:
        warnings.append(
            f"too few sizes for a minimum: {config.sizes} a budget, and a parabola takes {LEAST_SIZES}: "
            "raise --sizes"
        )
    return warnings


def _warnings(cells: Sequence[PlannedCell], corpus: Corpus) -> list[str]:
    warnings = []
    for planned in cells:
        cell = planned.cell
        ratio = cell.tokens / cell.recipe.ledger.params()
        where = f"width {cell.recipe.model.width} at {planned.budget:.3g} FLOPs{_of(planned)}"
        if cell.steps < STARVED_STEPS:
            warnings.append(f"{where} is starved of steps: {cell.steps}")
        if ratio < STARVED_TOKENS_PER_PARAMETER:
            warnings.append(f"{where} is starved of data: {ratio:.2f} tokens a parameter")
        if cell.recipe.unique_windows is None and cell.tokens > corpus.n_tokens("train"):
            warnings.append(f"{where} repeats tokens: {cell.tokens / corpus.n_tokens('train'):.2f} passes")
    return warnings


def _teachers_cost(config: SweepConfig, grid: Sequence[PlannedCell]) -> list[str]:
    """What the grid's teachers cost, which is no part of its price."""
    cells = distinct(grid).values()
    forward = sum(cell.tokens * cell.recipe.teacher_token_flops for cell in cells)
    training = sum(teacher.flops for teacher in config.teachers)
    if not forward:
        return []
    return [
        f"the teachers' forward passes take {forward:.3g} FLOPs besides, and their own training took "
        f"{training:.3g}: no budget or price counts them"
    ]


def _of(planned: PlannedCell) -> str:
    """The values of the sweep's axes, in words."""
    return "".join(f", {option} {value}" for option, value in planned.settings)


def _named(settings: Sequence[tuple[str, Any]]) -> str:
    return " ".join(f"{option}={value}" for option, value in settings)


def _seconds(segments: Sequence[Segment], step_seconds: StepSeconds, workers: int) -> float:
    training = sum((s.stop - s.start) * step_seconds(s.recipe) for s in segments)
    widths = {s.recipe.model for s in segments}
    return (training + COMPILE_SECONDS * len(widths)) / workers


def _checkpoint_bytes(segment: Segment) -> int:
    return BYTES_PER_PARAMETER * segment.recipe.ledger.params("total")
