"""One measurement on many models; what was measured is not measured again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isoflop.base.json_values import Serializable
from isoflop.evals.measurement import Measurement
from isoflop.evals.table import EvalTable
from isoflop.evals.trained_model import TrainedModel

MeasureModels = Callable[[Sequence[TrainedModel]], None]
"""Measures models into a table, in whatever order and by whomever."""


@dataclass(frozen=True)
class Evaluated(Serializable):
    """What a measurement came to. `measured`: how many of its `models` were measured now and not before."""

    measurement: str
    table: Path
    models: int
    measured: int
    rows: int
    warnings: tuple[str, ...] = ()


def evaluate_models(
    models: Sequence[TrainedModel],
    measurement: Measurement,
    options: Any,
    table: EvalTable,
    measure: MeasureModels,
) -> Evaluated:
    """Has those of the models measured that the table lacks, and writes it; stopped, it holds what was done.

    Raises `UserError`, before anything is measured, for a model that can't be, and for a table of other
    options.
    """
    for model in models:
        measurement.refuse(model, options)
    table.open(measurement, options)
    missing = table.missing(models)
    try:
        if missing:
            measure(missing)
    finally:
        rows = table.write(models)
    return Evaluated(measurement.name, table.csv, len(models), len(missing), rows)


def measure_here(
    models: Sequence[TrainedModel],
    measurement: Measurement,
    options: Any,
    table: EvalTable,
    on_model: Callable[[int], None] = lambda done: None,
) -> None:
    """Measures models in this process, one after the other. `on_model` takes how many of them are done."""
    for done, model in enumerate(models):
        on_model(done)
        # A copy, with which the parameters that it loads go again: a pool may be larger than the memory.
        table.add(model, measurement.rows(replace(model), options))
