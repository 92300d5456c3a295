"""A measurement of a sweep's kept models on workers, which take them from the table's folder.

The folder `evals/NAME` is a queue of its own: its board, claims, heartbeats and logs are none of the sweep's,
which may train meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from isoflop.base.errors import UserError
from isoflop.base.json_values import to_json
from isoflop.base.plugin_files import pin
from isoflop.evals.measurement import KIND
from isoflop.evals.table import EvalTable
from isoflop.evals.trained_model import TrainedModel
from isoflop.sweeps.launchers import OpenLauncher, load_launcher, refuse_missing
from isoflop.sweeps.queue.coordinator import coordinating
from isoflop.sweeps.queue.evaluation_board import EvaluationBoard
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.stage import Snapshot, complete_stage
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution


def choose_launcher(
    name: str, options: str, workers: int | None, execution: Execution
) -> OpenLauncher | None:
    """The launcher that is asked for, the local one where only a number of workers is; None for neither.

    `options`: its settings, of which `workers` is one. Raises `UserError` for one that can't be had here.
    """
    if workers is not None and workers < 1:
        raise UserError(f"workers {workers}: must be at least 1")
    if not name and workers is None:
        if options:
            raise UserError(f"launcher_options {options}: of which launcher? Say --launcher too")
        if execution.platform != "auto":
            raise UserError(f"platform {execution.platform}: is where workers measure: say --workers too")
        return None
    settings = [*filter(None, [options]), *([] if workers is None else [f"workers={workers}"])]
    chosen = load_launcher(name or "local", ",".join(settings))
    refuse_missing(name or "local", execution)
    return chosen


def measure_on_workers(
    models: Sequence[TrainedModel],
    measurement: str,
    options: Any,
    table: EvalTable,
    open_launcher: OpenLauncher,
    worker_options: WorkerOptions = WorkerOptions(),
    on_model: Callable[[int], None] = lambda done: None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Has models measured into a table that is open, a task each, by a measurement's name or file.

    Safe to interrupt, and safe to run twice at once. `on_model` takes how many of them are done. Raises
    `UserError` where no worker can work, where nothing gets done, and, once the others are done, for models
    that can't be measured.
    """
    store = Store(table.records)
    # Workers may be on another machine, where only whole paths mean the same.
    whole = [
        replace(
            model,
            checkpoint=model.checkpoint.absolute(),
            corpus_folder=model.corpus_folder.absolute(),
        )
        for model in models
    ]
    board = EvaluationBoard(pin(measurement, KIND), to_json(options), whole)

    def on_snapshot(snapshot: Snapshot[EvaluationBoard]) -> None:
        on_model(len(models) - len(snapshot.missing))

    lease_seconds = worker_options.lease_seconds
    with (
        coordinating(store, lease_seconds, say),
        contextlib.closing(open_launcher(store, worker_options)) as launcher,
    ):
        complete_stage(board, store, launcher, lease_seconds=lease_seconds, on_snapshot=on_snapshot, warn=say)
    _refuse_failures(board, store)


def _refuse_failures(board: EvaluationBoard, store: Store) -> None:
    """Raises `UserError` with the reason for models that were given up."""
    contents = store.contents()
    failed = sorted(board.recipes.keys() & contents.failed_segments)
    if not failed:
        return
    reason = store.reason(failed[0], contents.failures[failed[0]])
    if len(failed) == 1:
        raise UserError(f"{failed[0]} could not be measured: {reason}")
    raise UserError(f"{len(failed)} models could not be measured, such as {failed[0]}: {reason}")
