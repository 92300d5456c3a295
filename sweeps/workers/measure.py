"""One model measured, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from isoflop.base.json_values import from_json
from isoflop.evals.measurement import load_measurement
from isoflop.evals.table import EvalTable
from isoflop.sweeps.queue.evaluation_board import Evaluation
from isoflop.sweeps.queue.store import Store


def measure(task: Evaluation, store: Store, is_held: Callable[[], bool]) -> None:
    """Files a model's rows in the table whose folder is the store, if the worker still holds the task."""
    measurement = load_measurement(task.measurement)
    # A copy, with which the parameters that it loads go again: the board keeps its models.
    rows = measurement.rows(replace(task.model), from_json(measurement.options, task.options))
    if is_held():
        EvalTable.of_records(store.path).add(task.model, rows)
