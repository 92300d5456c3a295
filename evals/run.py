"""One measurement on many models, one after the other; what was measured is not measured again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isoflop.base.json_values import Serializable
from isoflop.evals.measurement import Measurement
from isoflop.evals.table import EvalTable
from isoflop.evals.trained_model import TrainedModel


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
    on_model: Callable[[int], None] = lambda done: None,
) -> Evaluated:
    """Measures those of the models that the table lacks, and writes it; stopped, it holds what was done.

    `on_model` takes the number of models done. Raises `UserError`, before anything is measured, for a model
    that can't be, and for a table of other options.
    """
    for model in models:
        measurement.refuse(model, options)
    table.open(measurement, options)
    missing = [model for model in models if table.rows(model) is None]
    try:
        for done, model in enumerate(missing, len(models) - len(missing)):
            on_model(done)
            # A copy, with which the parameters that it loads go again: a pool may be larger than the memory.
            table.add(model, measurement.rows(replace(model), options))
        on_model(len(models))
    finally:
        rows = table.write(models)
    return Evaluated(measurement.name, table.csv, len(models), len(missing), rows)
