"""Runs a sweep stage by stage: tune the rate, train the grid, then replicates and checks at the minima.

What a stage holds follows from the results of those before it, and from nothing else: a sweep that was
stopped, or that several processes run at once, comes to the same cells.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from isoflop.base.errors import UserError
from isoflop.base.json_values import content_id, to_json
from isoflop.base.provenance import log_start
from isoflop.sweeps.grids import stages
from isoflop.sweeps.grids.adaptive import Adaptive, first_cells, next_cells
from isoflop.sweeps.grids.cells import PlannedCell, check_cells, grid_cells, replicate_cells, retry_cells
from isoflop.sweeps.grids.config import Rates, SweepConfig
from isoflop.sweeps.grids.ladder import trunk_cuts
from isoflop.sweeps.grids.rates import TunedRates, tune
from isoflop.sweeps.grids.segments import Cuts, Tree, uncut
from isoflop.sweeps.launchers import Launcher, OpenLauncher
from isoflop.sweeps.output_folder import kind_of
from isoflop.sweeps.plan import Plan, refuse_full_disk
from isoflop.sweeps.progress import run_table as table
from isoflop.sweeps.progress.background_sync import BackgroundSync
from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.progress.table_files import RUNS, StageTable, write_rows, write_runs
from isoflop.sweeps.queue import board as boards
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.claims import Claims, names
from isoflop.sweeps.queue.heartbeats import HEARTBEATS_PER_LEASE, HeartbeatMonitor, HeartbeatWriter
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.stage import View, train_cells
from isoflop.sweeps.workers.options import WorkerOptions

LEAST_SEED_NOISE = 0.005
"""Nats; the standard deviation between seeds is taken to be no less, however alike few pairs may be."""

COORDINATOR_SECONDS = 2.0
"""The longest between two beats of a coordinator: three are waited for where an old one may still live."""


@dataclass
class Sweep:
    """A sweep under way: the plan, its folder, and who trains and tells of it."""

    plan: Plan
    store: Store
    launcher: Launcher
    reporter: Reporter
    mirror: BackgroundSync
    cuts: Cuts = uncut
    worker_options: WorkerOptions = WorkerOptions()
    warned: set[str] = field(default_factory=set)

    @property
    def config(self) -> SweepConfig:
        """The plan's."""
        return self.plan.config

    def tree(self, *stages: Sequence[PlannedCell]) -> Tree:
        """The segments of some stages' cells."""
        return self.plan.tree(*stages, cuts=self.cuts)

    def train(self, name: str, planned: Sequence[PlannedCell], file: str = "") -> list[dict[str, Any]]:
        """Trains what is missing of some cells, and returns their rows.

        The table `file` holds them from the start and is brought up to date as they finish.
        """
        tree = self.tree(planned)
        rows = table.Table(self.config.name, planned, tree, self.store, self.plan.corpus)
        cells = {p.cell.cell_id: p.cell for p in planned}
        board = Board(name, tree, cells, self.config.keep, str(self.plan.corpus.folder))
        filed = StageTable(self.store, file, rows, self.mirror.put)
        rows.update(self.store.contents())  # damaged results are set aside, to be trained again
        missing = board.missing(self.store.contents())
        flops = sum(tree.segments[segment].flops for segment in missing)
        with self.reporter.stage(name, flops):

            def on_view(view: View) -> None:
                filed.update(view.contents, view.claimed & view.missing, write=bool(view.missing))
                self.reporter.view(view, rows.rows)
                self.mirror.show(board, view.claimed & view.missing, rows.rows)

            train_cells(
                board,
                self.store,
                self.launcher,
                lease_seconds=self.worker_options.lease_seconds,
                on_view=on_view,
                warn=self.warn_once,
            )
        rows.update(self.store.contents())
        if missing or file != RUNS:  # the whole table is not cut down to a stage that was done before
            filed.write()
        for row in rows.rows:
            self.mirror.put(row)
            if row["status"] != "finished":
                where = f"width {row['d_model']} at {row['budget']:.3g} FLOPs"
                self.warn_once(f"{where} is {row['status']}: {row['reason'] or 'see worker.log'}")
        self._warn_of_nothing_learnt(rows.rows)
        return rows.rows

    def _warn_of_nothing_learnt(self, rows: Sequence[dict[str, Any]]) -> None:
        idle = [row for row in rows if row["status"] == "finished" and row["reason"]]
        if idle:
            worst = max(idle, key=lambda row: row["loss"])
            cells = "1 finished cell has" if len(idle) == 1 else f"{len(idle)} finished cells have"
            self.warn_once(
                f"{cells} learnt nothing: at width {worst['d_model']} and {worst['budget']:.3g} FLOPs "
                f"{worst['reason']}: look at clip, weight_decay and rates, or train for longer"
            )

    def warn_once(self, text: str) -> None:
        """Warns of what was not warned of before."""
        if text not in self.warned:
            self.warned.add(text)
            self.reporter.warn(text)

    def rows(self, planned: Sequence[PlannedCell], tree: Tree) -> list[dict[str, Any]]:
        """The rows of some cells."""
        rows = table.Table(self.config.name, planned, tree, self.store, self.plan.corpus)
        rows.update(self.store.contents())
        return rows.rows


def run_sweep(
    plan: Plan,
    out: Path,
    open_launcher: OpenLauncher,
    reporter: Reporter,
    worker_options: WorkerOptions = WorkerOptions(),
    adaptive: Adaptive | None = None,
) -> Path:
    """Trains all that the plan's folder `out` still lacks, and writes its tables; returns `out`.

    With `adaptive` the cells of the grid and their seeds are chosen on the way, until its target is known.

    Safe to interrupt, and safe to run twice at once: the same call goes on where it stopped, or joins in.
    Raises `UserError` for a folder that holds another sweep, or one on other text; for a full disk; and for a
    model that doesn't fit the device.
    """
    store = Store.open(out, plan.config, kind_of(adaptive), plan.corpus.spec)
    price = plan.price()
    refuse_full_disk(out, price)
    if adaptive:
        _refuse_adaptive(plan, adaptive)
    with (
        _coordinating(store, reporter, worker_options.lease_seconds),
        contextlib.closing(BackgroundSync(plan.config.trackers, plan.config.name, store, reporter)) as mirror,
        contextlib.closing(open_launcher(store, worker_options)) as launcher,
    ):
        log_start(out, sys.argv)
        workers = launcher.worker_count
        store.note("plan", asdict(price) | {"total_flops": price.total_flops, "workers": workers})
        (store.path / "summary.json").unlink(missing_ok=True)  # until it is finished again
        cuts = trunk_cuts(plan.config) if adaptive else uncut
        _stages(Sweep(plan, store, launcher, reporter, mirror, cuts, worker_options), adaptive)
    return out


def _refuse_adaptive(plan: Plan, adaptive: Adaptive) -> None:
    """Raises `UserError` for what an adaptive sweep can't do, before anything is spent."""
    if plan.config.keep == "none":
        raise UserError("an adaptive sweep branches off its trunks again and again: --keep trunks or all")
    first = first_cells(plan.config, plan.corpus, plan.config.rates)
    least = _other_flops(plan) + plan.tree(first, cuts=trunk_cuts(plan.config)).flops
    if adaptive.max_flops is not None and least > adaptive.max_flops:
        raise UserError(
            f"tuning, checks and the first round take {least:.3g} FLOPs and max_flops is "
            f"{adaptive.max_flops:.3g}: raise it, or lower the budgets"
        )


def _other_flops(plan: Plan) -> int:
    """Of tuning and checks."""
    return plan.tree(plan.tuning).flops + sum(p.cell.flops for p in plan.checks)


@contextlib.contextmanager
def _coordinating(store: Store, reporter: Reporter, lease_seconds: float) -> Iterator[None]:
    """Makes this process known to others on the folder; where it is alone, what failed is tried again, and
    the claims of dead processes are void."""
    who = ProcessIdentity.own()
    beat_seconds = min(COORDINATOR_SECONDS, lease_seconds / HEARTBEATS_PER_LEASE)
    pulse = HeartbeatWriter(store.path / "coordinators", who, beat_seconds)
    others = {name.removesuffix(".json") for name in names(pulse.folder)}
    watch = HeartbeatMonitor(pulse.folder, 2.5 * beat_seconds)
    dead = watch.gone(others)
    if others - dead:  # of another machine, or of a boot before: they live if their beat goes on
        time.sleep(3 * beat_seconds)
        dead |= watch.gone(others - dead)
    for name in dead:
        (pulse.folder / f"{name}.json").unlink(missing_ok=True)
    if others - dead:
        reporter.say(f"joining: {len(others - dead)} more at work on {store.path}")
    else:
        _clear(store, who.name)
    pulse.start()
    try:
        yield
    finally:
        pulse.stop()


def _clear(store: Store, name: str) -> None:
    """Forgets what earlier runs of the command failed at, and gives their dead workers' tasks back."""
    store.forget_failures()
    for stage in names(store.path / "board"):
        boards.take_down(store, stage)
    for refusal in names(store.path / "refusals"):
        (store.path / "refusals" / refusal).unlink(missing_ok=True)
    claims = Claims(store.path / "claims", name)
    standing = claims.standing()
    workers = {name.removesuffix(".json") for name in names(store.path / "workers")}
    dead = HeartbeatMonitor(store.path / "workers", math.inf).gone(workers)
    for claim in standing:
        if claim.worker in dead and (taken := claims.take_over(claim)):
            claims.release(taken)
    for worker in dead:
        (store.path / "workers" / f"{worker}.json").unlink(missing_ok=True)
    if workers == dead:
        store.sweep_out()


def _stages(sweep: Sweep, adaptive: Adaptive | None) -> None:
    config, corpus = sweep.config, sweep.plan.corpus
    tuned = _tuned(sweep)
    for warning in tuned.warnings:
        sweep.reporter.warn(warning)
    rounds: list[dict[str, Any]] = []
    if adaptive:
        grid = _choose(sweep, tuned.rates, adaptive, rounds)
    else:
        grid = grid_cells(config, corpus, tuned.rates)
        grid = [*grid, *_retries(sweep, grid, sweep.train(stages.GRID, grid, RUNS))]
    minima = _minima(grid, sweep.rows(grid, sweep.tree(grid)))
    replicates = [] if adaptive else replicate_cells(config, minima)
    checks = check_cells(config, minima[-1]) if minima else []
    if replicates or checks:
        rows = sweep.train(stages.LAST, [*replicates, *checks])
        replicates = [*replicates, *_retries(sweep, replicates, rows[: len(replicates)])]
    tree = sweep.tree(grid, replicates, checks)
    runs, checked = sweep.rows([*grid, *replicates], tree), sweep.rows(checks, tree)
    if lost := write_runs(sweep.store, runs):
        sweep.reporter.warn(lost)
    write_rows(sweep.store, "checks.csv", checked)
    check = _check_rule(runs, checked, minima)
    if check and check["warning"]:
        sweep.reporter.warn(check["warning"])
    summary = _summary(sweep, tuned, tree, [*grid, *replicates], check)
    asked = {"adaptive": asdict(adaptive) | {"level_at_a_look": adaptive.level_at_a_look}} if adaptive else {}
    sweep.store.write_json("summary.json", summary | {"rounds": rounds} | asked)


def _choose(
    sweep: Sweep, rates: Rates, adaptive: Adaptive, rounds: list[dict[str, Any]]
) -> list[PlannedCell]:
    """The cells of an adaptive sweep, trained round by round; `rounds` takes what was decided after each."""
    config, corpus = sweep.config, sweep.plan.corpus
    other = _other_flops(sweep.plan)
    planned = first_cells(config, corpus, rates)
    while True:
        sweep.store.note(
            "plan", sweep.store.facts()["plan"] | {"total_flops": other + sweep.tree(planned).flops}
        )
        rows = sweep.train(f"{stages.ROUND} {len(rounds) + 1}", planned, RUNS)
        decision = next_cells(config, corpus, rates, rows, adaptive, other)
        said = {_gist(w) for earlier in rounds for w in earlier["warnings"]}
        for warning in decision.warnings:
            if _gist(warning) not in said:
                sweep.reporter.warn(warning)
        sweep.reporter.say(f"round {len(rounds) + 1}: {decision.why}")
        told = asdict(replace(decision, cells=()))
        rounds.append(told | {"cells": [p.cell.cell_id for p in decision.cells]})
        if decision.done:
            return planned
        planned = [*planned, *decision.cells]


def _gist(warning: str) -> str:
    """The warning but for its numbers, which change from round to round."""
    return "".join(c for c in warning if not (c.isdigit() or c in ".-+e"))


def _retries(
    sweep: Sweep, planned: Sequence[PlannedCell], rows: Sequence[dict[str, Any]]
) -> list[PlannedCell]:
    """Further attempts at the cells that diverged, trained: at half the rate before, as often as the config
    says, until one finishes."""
    lost = [p for p, row in zip(planned, rows, strict=True) if row["status"] == "diverged"]
    tried: list[PlannedCell] = []
    for attempt in range(1, sweep.config.retries + 1):
        if not lost:
            break
        again = retry_cells(lost, attempt)
        rows = sweep.train(f"{stages.RETRY} at {0.5**attempt:g} of the rate", again)
        tried += again
        lost = [p for p, row in zip(lost, rows, strict=True) if row["status"] != "finished"]
    return tried


def _tuned(sweep: Sweep) -> TunedRates:
    rates = sweep.config.rates
    if not rates.tried:
        return TunedRates(rates, (), ())
    rows = sweep.train(stages.TUNING, sweep.plan.tuning, "tuning.csv")
    losses = [float("nan") if row["loss"] is None else row["loss"] for row in rows]
    trials = [
        (row["d_model"], row["budget"], row["lr"], loss) for row, loss in zip(rows, losses, strict=True)
    ]
    return tune(rates, trials)


def _minima(grid: Sequence[PlannedCell], rows: Sequence[dict[str, Any]]) -> list[PlannedCell]:
    """The cell of least loss of each budget that has a finished one."""
    best: dict[float, tuple[float, PlannedCell]] = {}
    for planned, row in zip(grid, rows, strict=True):
        if row["status"] == "finished" and row["loss"] < best.get(planned.budget, (float("inf"),))[0]:
            best[planned.budget] = (row["loss"], planned)
    return [best[budget][1] for budget in sorted(best)]


def _check_rule(
    runs: Sequence[dict[str, Any]], checks: Sequence[dict[str, Any]], minima: Sequence[PlannedCell]
) -> dict[str, Any] | None:
    """How the rule's rate and the shared trunk did at the largest minimum, losses in nats."""
    losses = {row["role"]: row["loss"] for row in checks if row["status"] == "finished"}
    if not losses:
        return None
    own = next(row["loss"] for row in runs if row["cell_id"] == minima[-1].cell.cell_id)
    rivals = {role: losses[role] for role in ("rate_half", "rate_double") if role in losses}
    best = min(rivals, key=lambda role: rivals[role]) if rivals else ""
    lost = own - rivals[best] if best else 0.0
    tolerance = 2 * math.sqrt(2) * _seed_noise(runs)  # two standard deviations of a difference of two runs
    warning = (
        f"at the largest budget's minimum {best.replace('_', ' ')} beats the rule's rate by {lost:.3f} nats: "
        "the rule is off there, so tune nearer to the largest budget"
        if lost > tolerance
        else ""
    )
    return {"width": minima[-1].cell.recipe.model.width, "loss": own, **losses, "warning": warning}


def _seed_noise(runs: Sequence[dict[str, Any]]) -> float:
    """Standard deviation between seeds of one cell, nats, pooled over the cells that have several."""
    cells: dict[tuple[int, float], list[float]] = {}
    for row in runs:
        if row["status"] == "finished":
            cells.setdefault((row["d_model"], row["budget"]), []).append(row["loss"])
    repeated = [losses for losses in cells.values() if len(losses) > 1]
    squares = sum((loss - sum(group) / len(group)) ** 2 for group in repeated for loss in group)
    return max(LEAST_SEED_NOISE, math.sqrt(squares / max(sum(len(g) - 1 for g in repeated), 1)))


def _summary(
    sweep: Sweep,
    tuned: TunedRates,
    tree: Tree,
    runs: Sequence[PlannedCell],
    check: dict[str, Any] | None,
) -> dict[str, Any]:
    corpus = sweep.plan.corpus
    tuning, grid = sweep.tree(sweep.plan.tuning).flops, sweep.tree(runs).flops
    return {
        "config": content_id(sweep.config),
        "stages": [{"name": name, "seconds": seconds} for name, seconds in sweep.reporter.seconds],
        "flops": {
            "grid": grid,
            "tuning": tuning,
            "checks": tree.flops - grid,
            "total": tree.flops + tuning,
            "fresh_cosine": sum(p.cell.flops for p in runs),
        },
        "learning_rate": {
            "rule": "lr = c * width^-p",
            "c": tuned.rates.coefficient,
            "p": tuned.rates.exponent,
            "anchors": [to_json(anchor) for anchor in tuned.anchors],
            "checked": check,
            "warnings": list(tuned.warnings),
        },
        "dataset": {
            "name": corpus.spec.source,
            "title": corpus.title,
            "licence": corpus.licence,
            "tokenizer": corpus.spec.tokenizer,
            "train_tokens": corpus.n_tokens("train"),
            "floor": corpus.floor(sweep.config.context_length),
            "digest": corpus.spec.digest,
        },
    }
