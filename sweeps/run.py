"""A sweep, stage by stage: tune the rate, train the grid, then check both at the minima, and last what
forecasts were registered of.

What a stage holds follows from the results of those before it, and from nothing else: a sweep that was
stopped, or that several processes run at once, comes to the same cells.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from isoflop.base.errors import UserError
from isoflop.base.json_values import content_id
from isoflop.base.provenance import log_start
from isoflop.models import ledger
from isoflop.sweeps.grids import stages
from isoflop.sweeps.grids.adaptive import Adaptive, first_cells, next_cells
from isoflop.sweeps.grids.cells import PlannedCell, check_cells, distinct, grid_cells, retry_cells
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.ladder import trunk_cuts
from isoflop.sweeps.grids.rates import Rates
from isoflop.sweeps.grids.segments import Cuts, Tree, uncut
from isoflop.sweeps.grids.tuning import Trial, TunedRates, tune
from isoflop.sweeps.launchers import Launcher, OpenLauncher
from isoflop.sweeps.output_folder import kind_of
from isoflop.sweeps.plan import Plan, refuse_full_disk
from isoflop.sweeps.progress import summary as summaries
from isoflop.sweeps.progress.background_sync import BackgroundSync
from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.progress.run_table import CellRows
from isoflop.sweeps.progress.summary import SUMMARY, SweepSummary
from isoflop.sweeps.progress.table_files import CHECKS, RUNS, TUNING, StageTable, write_rows, write_runs
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.coordinator import coordinating
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.rate_check import check_rule
from isoflop.sweeps.row import Row
from isoflop.sweeps.stage import Snapshot, complete_stage
from isoflop.sweeps.teachers import copy_teachers
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.data.corpus import Corpus


def run_sweep(
    plan: Plan,
    out: Path,
    open_launcher: OpenLauncher,
    reporter: Reporter,
    worker_options: WorkerOptions = WorkerOptions(),
    adaptive: Adaptive | None = None,
) -> Path:
    """Train all that the plan's folder `out` still lacks, and write its tables; return `out`.

    With `adaptive` the cells of the grid and their seeds are chosen on the way, until its target is known.

    Safe to interrupt, and safe to run twice at once: the same call goes on where it stopped, or joins in.
    Raises `UserError` for a folder that holds another sweep, or one on other text; for a full disk; and for a
    model that doesn't fit the device.
    """
    store = Store.open(out, plan.config, kind_of(adaptive), plan.corpus.spec)
    store.note_eval_corpora([corpus.spec for corpus in plan.eval_corpora])
    copy_teachers(plan.config, store)
    store.note_axis_corpora([corpus.spec for corpus in plan.axis_corpora])
    price = plan.price()
    refuse_full_disk(out, price)
    if adaptive:
        _refuse_adaptive(plan, adaptive)
    lease_seconds = worker_options.lease_seconds
    with (
        coordinating(store, lease_seconds, reporter.say),
        contextlib.closing(BackgroundSync(plan.config.trackers, plan.config.name, store, reporter)) as sync,
        contextlib.closing(open_launcher(store, worker_options)) as launcher,
    ):
        log_start(out, sys.argv)
        workers = launcher.worker_count
        known = {"total_flops": price.total_flops, "workers": workers, "cells": plan.cell_counts()}
        store.note("plan", asdict(price) | known)
        (store.path / SUMMARY).unlink(missing_ok=True)  # until it is finished again
        cuts = trunk_cuts(plan.config) if adaptive else uncut
        _run_stages(Sweep(plan, store, launcher, reporter, sync, lease_seconds, cuts), adaptive)
    return out


def _refuse_adaptive(plan: Plan, adaptive: Adaptive) -> None:
    """Raises `UserError` for what an adaptive sweep can't do, before anything is spent."""
    if plan.config.axes:
        raise UserError("an adaptive sweep chooses cells for one law: give one value each instead of --axes")
    if plan.config.keep == "none":
        raise UserError("an adaptive sweep branches off its trunks again and again: --keep trunks or all")
    first = first_cells(plan.config, plan.corpus, plan.config.rates)
    least = _fixed_flops(plan) + plan.tree(first, cuts=trunk_cuts(plan.config)).flops
    if adaptive.max_flops is not None and least > adaptive.max_flops:
        raise UserError(
            f"tuning, checks and the first round take {least:.3g} FLOPs and max_flops is "
            f"{adaptive.max_flops:.3g}: raise it, or lower the budgets"
        )


def _fixed_flops(plan: Plan) -> int:
    """FLOPs of tuning and checks, which an adaptive sweep has besides the cells that it chooses."""
    return plan.tree(plan.tuning).flops + sum(p.cell.flops for p in plan.checks)


@dataclass(frozen=True)
class Sweep:
    """A sweep under way: the plan, its folder, and who trains, shows and logs it."""

    plan: Plan
    store: Store
    launcher: Launcher
    reporter: Reporter
    sync: BackgroundSync
    lease_seconds: float
    cuts: Cuts

    @property
    def config(self) -> SweepConfig:
        """The plan's config."""
        return self.plan.config

    def tree(self, *stages: Sequence[PlannedCell]) -> Tree:
        """The segments of some stages' cells."""
        return self.plan.tree(*stages, cuts=self.cuts)

    def cell_rows(self, planned: Sequence[PlannedCell], tree: Tree) -> CellRows:
        """The rows of some cells, brought up to date with the folder."""
        plan = self.plan
        cells = CellRows(self.config.name, planned, tree, self.store, plan.corpus, plan.corpora)
        cells.update(self.store.contents())  # corrupt results are set aside, to be trained again
        return cells

    def train(
        self,
        name: str,
        planned: Sequence[PlannedCell],
        file: str = "",
        beside: Sequence[PlannedCell] = (),
    ) -> list[Row]:
        """Train what is missing of some cells, and return their rows.

        The table `file` holds them from the start and is brought up to date as they finish. They go on from
        the trunks of the cells `beside`, which have been trained.
        """
        tree = self.tree(beside, planned)
        further, trained_on = (
            {corpus.spec.source: str(corpus.folder) for corpus in corpora}
            for corpora in (self.plan.eval_corpora, self.plan.axis_corpora)
        )
        folders = str(self.plan.corpus.folder), further, trained_on
        board = Board(name, tree, distinct(planned), self.config.keep, *folders)
        cells = self.cell_rows(planned, tree)
        table = StageTable(self.store, file, cells, self.sync.log_cell)
        missing = board.missing(self.store.contents())

        def on_snapshot(snapshot: Snapshot[Board]) -> None:
            training = snapshot.claimed & snapshot.missing
            table.update(snapshot.contents, training, write=bool(snapshot.missing))
            self.reporter.update(snapshot, cells.rows)
            self.sync.log_live(board, training, cells.rows)

        with self.reporter.stage(name, sum(tree.segments[segment].flops for segment in missing)):
            complete_stage(
                board,
                self.store,
                self.launcher,
                lease_seconds=self.lease_seconds,
                on_snapshot=on_snapshot,
                warn=self.reporter.warn,
            )
        cells.update(self.store.contents())
        if missing or file != RUNS:  # the whole table is not cut down to a stage that was done before
            table.write()
        for row in cells.rows:
            self.sync.log_cell(row)
        for warning in _row_warnings(cells.rows):
            self.reporter.warn(warning)
        return cells.rows


def _row_warnings(rows: Sequence[Row]) -> list[str]:
    """The cells that did not finish, and those that finished and learnt nothing."""
    lost = [
        f"width {row.d_model} at {row.budget:.3g} FLOPs{row.axes and ', '}{row.axes} is {row.status}: "
        f"{row.reason or 'see worker.log'}"
        for row in rows
        if not row.is_finished
    ]
    idle = [(row.loss, row) for row in rows if row.loss is not None and row.reason]
    if not idle:
        return lost
    worst = max(idle, key=lambda pair: pair[0])[1]
    cells = "1 finished cell has" if len(idle) == 1 else f"{len(idle)} finished cells have"
    return [
        *lost,
        f"{cells} learnt nothing: at width {worst.d_model} and {worst.budget:.3g} FLOPs "
        f"{worst.reason}: look at clip, weight_decay and rates, or train for longer",
    ]


def _run_stages(sweep: Sweep, adaptive: Adaptive | None) -> None:
    config, plan = sweep.config, sweep.plan
    tuned = _tune(sweep)
    rounds: list[dict[str, Any]] = []
    if adaptive:
        grid = _choose_grid(sweep, tuned[0].rates, adaptive, rounds)
    else:
        rules = zip(config.variants, tuned, strict=True)
        grid = [
            cell
            for variant, own in rules
            for cell in grid_cells(variant, plan.corpus_of(variant.data), own.rates)
        ]
        grid = [*grid, *_retry(sweep, grid, sweep.train(stages.GRID, grid, RUNS))]
    rows = sweep.cell_rows(grid, sweep.tree(grid)).rows
    minima = [_minima(variant, grid, rows) for variant in config.variants]
    checks = [cell for own in minima if own for cell in check_cells(config, own)]
    if checks:
        sweep.train(stages.CHECK, checks)
    forecasts = sweep.plan.forecasts
    if forecasts:
        sweep.train(stages.FORECAST, forecasts, RUNS, beside=grid)
    _summarize(sweep, tuned, minima, [*grid, *forecasts], checks, rounds, adaptive)


def _summarize(
    sweep: Sweep,
    tuned: Sequence[TunedRates],
    minima: Sequence[Sequence[PlannedCell]],
    runs: Sequence[PlannedCell],
    checks: Sequence[PlannedCell],
    rounds: Sequence[dict[str, Any]],
    adaptive: Adaptive | None,
) -> None:
    """Write the tables as they are at the sweep's end, and its summary. `tuned` and `minima`: of each
    variant."""
    config, tree = sweep.config, sweep.tree(runs, checks)
    run_rows, check_rows = sweep.cell_rows(runs, tree).rows, sweep.cell_rows(checks, tree).rows
    rules = []
    for variant, own_rates, own_minima in zip(config.variants, tuned, minima, strict=True):
        own_runs, own_checks = (
            [row for row in rows if row.settings == variant.settings] for rows in (run_rows, check_rows)
        )
        checked = check_rule(own_runs, own_checks, own_minima)
        rules.append(summaries.RateRule(str(own_rates.rates), own_rates, checked, dict(variant.settings)))
    warnings = [write_runs(sweep.store, run_rows), *(c.warning for rule in rules for c in rule.checked)]
    for warning in filter(None, warnings):
        sweep.reporter.warn(warning)
    write_rows(sweep.store, CHECKS, check_rows)
    grid_flops, tuning_flops = sweep.tree(runs).flops, sweep.tree(sweep.plan.tuning).flops
    summary = SweepSummary(
        config=content_id(config),
        stages=tuple(summaries.StageSeconds(*stage) for stage in sweep.reporter.seconds),
        flops=summaries.Flops(
            grid=grid_flops,
            tuning=tuning_flops,
            checks=tree.flops - grid_flops,
            total=tree.flops + tuning_flops,
            fresh_cosine=sum(cell.flops for cell in distinct(runs).values()),
        ),
        learning_rate=rules[0],
        further_rates=tuple(rules[1:]),
        dataset=summaries.Dataset.of(
            sweep.plan.axis_corpora or (sweep.plan.corpus,), config.model.context_length
        ),
        rounds=tuple(rounds),
        forecasts=tuple(p.cell.cell_id for p in sweep.plan.forecasts),
        adaptive=asdict(adaptive) | {"level_at_a_look": adaptive.level_at_a_look} if adaptive else None,
    )
    summaries.write_summary(sweep.store, summary)


def _tune(sweep: Sweep) -> list[TunedRates]:
    """The learning-rate rule of each variant, fitted to its tuning cells where the config has any."""
    rates = sweep.config.rates
    if not rates.tried:
        return [TunedRates(rates) for _ in sweep.config.variants]
    rows = sweep.train(stages.TUNING, sweep.plan.tuning, TUNING)
    tuned = []
    for variant in sweep.config.variants:
        own = [row for row in rows if row.settings == variant.settings]
        tuned.append(tune(rates, [_trial(row, rates) for row in own]))
        sweep.reporter.say(_rule_line(variant, sweep.plan.corpus_of(variant.data), tuned[-1]))
    for warning in (warning for own in tuned for warning in own.warnings):
        sweep.reporter.warn(warning)
    return tuned


def _rule_line(variant: SweepConfig, corpus: Corpus, tuned: TunedRates) -> str:
    """The tuned rule, how well it is known at the centres of the least and the largest budget, and what that
    is expected to cost there."""
    known, costs = [], []
    for budget in dict.fromkeys((variant.budgets[0], variant.budgets[-1])):
        width = variant.widths_at(budget, corpus)[variant.sizes // 2]
        horizon = variant.horizon(budget / ledger(variant.model_at(width, corpus)).train_flops)
        known.append(f"{tuned.log_sd(width, horizon):.0%} at {budget:.3g} FLOPs")
        costs.append(f"{tuned.expected_loss(width, horizon):.2g}")
    at = "".join(f" at {option} {value}" for option, value in variant.settings)
    return (
        f"learning rate{at}: {tuned.rates}; known to {' and '.join(known)}, which is expected to cost "
        f"{' and '.join(costs)} nats"
    )


def _trial(row: Row, rates: Rates) -> Trial:
    loss = math.nan if row.loss is None else row.loss
    return Trial(row.d_model, rates.horizon_of(row.n_tokens), row.lr, loss)


def _choose_grid(
    sweep: Sweep, rates: Rates, adaptive: Adaptive, rounds: list[dict[str, Any]]
) -> list[PlannedCell]:
    """The cells of an adaptive sweep, trained round by round; `rounds` takes what was decided after each."""
    config, corpus = sweep.config, sweep.plan.corpus
    fixed_flops = _fixed_flops(sweep.plan)
    planned = first_cells(config, corpus, rates)
    warned: set[str] = set()
    while True:
        plan = sweep.store.facts()["plan"] | {"total_flops": fixed_flops + sweep.tree(planned).flops}
        sweep.store.note("plan", plan)
        rows = sweep.train(f"{stages.ROUND} {len(rounds) + 1}", planned, RUNS)
        decision = next_cells(config, corpus, rates, [row.to_dict() for row in rows], adaptive, fixed_flops)
        for warning in decision.warnings:
            # Its numbers change from round to round; it is one warning.
            if (text := "".join(c for c in warning if c not in "0123456789.-+e")) not in warned:
                warned.add(text)
                sweep.reporter.warn(warning)
        sweep.reporter.say(f"round {len(rounds) + 1}: {decision.why}")
        chosen = [p.cell.cell_id for p in decision.cells]
        rounds.append(asdict(replace(decision, cells=())) | {"cells": chosen})
        if decision.done:
            return planned
        planned = [*planned, *decision.cells]


def _retry(sweep: Sweep, planned: Sequence[PlannedCell], rows: Sequence[Row]) -> list[PlannedCell]:
    """Further attempts at the cells that diverged, trained: at half the rate before, as often as the config
    says, until one finishes."""
    lost = [p for p, row in zip(planned, rows, strict=True) if row.status == "diverged"]
    tried: list[PlannedCell] = []
    for attempt in range(1, sweep.config.retries + 1):
        if not lost:
            break
        again = retry_cells(lost, attempt)
        rows = sweep.train(f"{stages.RETRY} at {0.5**attempt:g} of the rate", again)
        tried += again
        lost = [p for p, row in zip(lost, rows, strict=True) if not row.is_finished]
    return tried


def _minima(variant: SweepConfig, grid: Sequence[PlannedCell], rows: Sequence[Row]) -> list[PlannedCell]:
    """A variant's size of least loss, the mean over its seeds, of each budget that has a finished cell."""
    losses: dict[tuple[float, int], list[float]] = {}
    cells: dict[tuple[float, int], PlannedCell] = {}
    for planned, row in zip(grid, rows, strict=True):
        if planned.settings == variant.settings and planned.role == "grid" and row.loss is not None:
            place = planned.budget, planned.cell.recipe.model.width
            losses.setdefault(place, []).append(row.loss)
            cells.setdefault(place, planned)
    best: dict[float, tuple[float, int]] = {}
    for place in sorted(losses, key=lambda place: statistics.fmean(losses[place])):
        best.setdefault(place[0], place)
    return [cells[best[budget]] for budget in sorted(best)]
