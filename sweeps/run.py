"""Runs a sweep stage by stage: tune the rate, train the grid, then replicates and checks at the minima."""

from __future__ import annotations

import contextlib
import fcntl
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError
from sweeps import table
from sweeps.config import SweepConfig
from sweeps.grid import PlannedCell, check_cells, grid_cells, replicate_cells
from sweeps.launchers import Launcher, OpenLauncher
from sweeps.memory import refuse_too_large
from sweeps.mirror import Mirror
from sweeps.plan import Plan, refuse_full_disk
from sweeps.progress import Reporter
from sweeps.rates import TunedRates, tune
from sweeps.segments import Tree
from sweeps.store import Store
from sweeps.train_cells import train_cells
from train.execution import Execution
from train.spec import CellSpec, to_json

LEAST_SEED_NOISE = 0.005
"""Nats; the standard deviation between seeds is taken to be no less, however alike few pairs may be."""


@dataclass
class Sweep:
    """A sweep under way: the plan, its folder, and who trains and tells of it."""

    plan: Plan
    store: Store
    launcher: Launcher
    how: Execution
    reporter: Reporter
    mirror: Mirror

    @property
    def config(self) -> SweepConfig:
        """The plan's."""
        return self.plan.config

    def train(self, name: str, planned: Sequence[PlannedCell], file: str = "") -> list[dict[str, Any]]:
        """Trains what is missing of some cells, and returns their rows.

        The table `file` holds them from the start and is brought up to date with each that finishes.
        """
        tree = self.plan.tree(planned)

        def tell(cell: CellSpec) -> None:
            rows = self.rows(planned, tree)
            self.file(file, rows)
            self.mirror.put(next(row for row in rows if row["cell_id"] == cell.cell_id))

        self.file(file, self.rows(planned, tree))
        missing = _missing_flops(tree, self.store)
        if missing:
            refuse_too_large(self.plan, self.launcher.device, self.how)
        with self.reporter.stage(name, missing):
            train_cells(
                planned,
                tree,
                config=self.config,
                store=self.store,
                corpus=self.plan.corpus,
                launcher=self.launcher,
                reporter=self.reporter,
                on_cell=tell,
            )
        rows = self.rows(planned, tree)
        self.file(file, rows)
        for row in rows:
            if row["status"] == "finished":
                self.mirror.put(row)
            else:
                where = f"width {row['d_model']} at {row['budget']:.3g} FLOPs"
                self.reporter.warn(f"{where} is {row['status']}: {row['reason'] or 'see worker.log'}")
        return rows

    def rows(self, planned: Sequence[PlannedCell], tree: Tree) -> list[dict[str, Any]]:
        """The rows of some cells."""
        return table.rows(self.config.name, planned, tree, self.store, self.plan.corpus)

    def file(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Writes a table of the folder."""
        if name and rows:
            self.store.write_text(name, table.to_csv(rows))


def run_sweep(
    plan: Plan, out: Path, open_launcher: OpenLauncher, reporter: Reporter, how: Execution = Execution()
) -> Path:
    """Trains all that the plan's folder `out` still lacks, and writes its tables; returns `out`.

    Safe to interrupt: the same call goes on where it stopped. Raises `UserError` for a folder that holds
    another sweep or is in use, for a full disk, and for a model that doesn't fit the device.
    """
    store = Store.open(out, plan.config)
    price = plan.price()
    refuse_full_disk(out, price)
    with _only_one(store), contextlib.closing(open_launcher(store, how)) as launcher:
        workers = launcher.worker_count
        store.note("plan", asdict(price) | {"total_flops": price.total_flops, "workers": workers})
        mirror = Mirror(plan.config.trackers, plan.config.name, store, reporter)
        try:
            _stages(Sweep(plan, store, launcher, how, reporter, mirror))
        finally:
            mirror.close()
    return out


def _stages(sweep: Sweep) -> None:
    config, corpus = sweep.config, sweep.plan.corpus
    tuned = _tuned(sweep)
    for warning in tuned.warnings:
        sweep.reporter.warn(warning)
    grid = grid_cells(config, corpus, tuned.rates)
    minima = _minima(grid, sweep.train("train the grid", grid, "runs.csv"))
    replicates = replicate_cells(config, minima)
    checks = check_cells(config, minima[-1]) if minima else []
    if replicates or checks:
        sweep.train("replicate and check", [*replicates, *checks])
    tree = sweep.plan.tree(grid, replicates, checks)
    runs, checked = sweep.rows([*grid, *replicates], tree), sweep.rows(checks, tree)
    sweep.file("runs.csv", runs)
    sweep.file("checks.csv", checked)
    check = _check_rule(runs, checked, minima)
    if check and check["warning"]:
        sweep.reporter.warn(check["warning"])
    sweep.store.write_json("summary.json", _summary(sweep, tuned, tree, [*grid, *replicates], check))


def _tuned(sweep: Sweep) -> TunedRates:
    rates = sweep.config.rates
    if not rates.tried:
        return TunedRates(rates, (), ())
    rows = sweep.train("tune the learning rate", sweep.plan.tuning, "tuning.csv")
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
    tuning = sweep.plan.tree(sweep.plan.tuning).flops
    grid = sweep.plan.tree(runs).flops
    return {
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


def _missing_flops(tree: Tree, store: Store) -> int:
    return sum(s.flops for name, s in tree.segments.items() if not store.segment_done(name))


@contextlib.contextmanager
def _only_one(store: Store) -> Iterator[None]:
    """Holds the folder for this process; the lock goes with the process, however it ends."""
    with (store.path / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process is running the sweep in {store.path}: wait for it, or stop it first"
            ) from error
        yield
