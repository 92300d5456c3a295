"""A measurement's table in a sweep's folder: a record a model, each there whole or not at all.

evals/NAME/options.json   what was measured, and with which options
evals/NAME/cells/ID.json  the rows of the model of that `cell_id`
evals/NAME.csv            all of them
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from isoflop.base import durable
from isoflop.base.errors import UserError
from isoflop.base.formatting import compact
from isoflop.base.json_values import to_json
from isoflop.evals.measurement import Measurement, Row
from isoflop.evals.trained_model import TrainedModel

FOLDER, HEAD, CELLS = "evals", "options.json", "cells"

MODEL_COLUMNS = (
    *("cell_id", "init_seed", "d_model", "n_layers"),
    *("n_params_non_embedding", "n_params_total", "n_tokens", "flops"),
)
"""The columns that every table begins with, as in the run table."""


@dataclass(frozen=True)
class EvalTable:
    """The table `name` of a sweep's folder."""

    sweep_folder: Path
    name: str

    @classmethod
    def of_records(cls, records: Path) -> EvalTable:
        """The table whose folder of records that is."""
        return cls(records.parents[1], records.name)

    @property
    def csv(self) -> Path:
        """The table itself."""
        return self.sweep_folder / FOLDER / f"{self.name}.csv"

    @property
    def records(self) -> Path:
        """The folder of what was measured, which is the queue's of those who measure it together."""
        return self.sweep_folder / FOLDER / self.name

    def open(self, measurement: Measurement, options: Any) -> None:
        """Makes the table's folder if need be.

        Raises `UserError` for a table of another measurement, other options or other code.
        """
        defaults = _defaults(measurement)
        asked = {
            "measurement": measurement.name,
            "code": measurement.code,
            "options": defaults | to_json(options),
        }
        head = self.records / HEAD
        there = _read(head)
        if there and there.get("measurement") == measurement.name:
            there["options"] = defaults | there.get("options", {})
        # Without a record the head may be written anew, unless workers were told of the old options: what
        # they file would be taken for rows of the new ones.
        unused = not durable.list_names(self._cells) and not durable.list_names(self.records / "board")
        if there is None or (unused and there != asked):
            try:
                self._cells.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"can't write to {self.records}: {error.strerror}") from error
            durable.write(head, json.dumps(asked, indent=1) + "\n")
            return
        if there != asked:
            raise UserError(
                f"{self.csv} was measured with {_differences(there, asked)}: give this one another name with "
                f"--table, or delete {self.records} to measure anew"
            )

    def rows(self, model: TrainedModel) -> list[Row] | None:
        """The rows of a model; None if it was not measured."""
        return _read(self._record(model))

    def missing(self, models: Iterable[TrainedModel]) -> list[TrainedModel]:
        """Those of the models that were not measured. What can't be read of a record is removed."""
        found = [model for model in models if self.rows(model) is None]
        for model in found:
            record = self._record(model)
            # Looked at once more: another process may have filed it since.
            if record.exists() and self.rows(model) is None:
                record.unlink(missing_ok=True)
        return found

    def add(self, model: TrainedModel, rows: Sequence[Row]) -> None:
        """Files the rows of a model."""
        durable.write(self._record(model), json.dumps([_of_model(model) | row for row in rows]) + "\n")

    def write(self, models: Iterable[TrainedModel]) -> int:
        """Writes the table of those models that were measured, in their order; returns its rows.

        Where none was there is no table.
        """
        rows = [row for model in models for row in self.rows(model) or ()]
        if not rows:
            return 0
        columns = dict.fromkeys((*MODEL_COLUMNS, *(column for row in rows for column in row)))
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        durable.write(self.csv, text.getvalue())
        return len(rows)

    @property
    def _cells(self) -> Path:
        return self.records / CELLS

    def _record(self, model: TrainedModel) -> Path:
        return self._cells / record_name(model)


def record_name(model: TrainedModel) -> str:
    """The name of a model's record."""
    return f"{model.cell.cell_id}.json"


def _of_model(model: TrainedModel) -> Row:
    recipe = model.recipe
    values = (
        *(model.cell.cell_id, recipe.init_seed, recipe.model.width, recipe.model.depth),
        *(recipe.ledger.params("non_embedding"), recipe.ledger.params("total")),
        *(model.cell.tokens, model.cell.flops),
    )
    return dict(zip(MODEL_COLUMNS, values, strict=True))


def _read(path: Path) -> Any:
    """What a JSON file holds; None where there is none, or none that can be read."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _defaults(measurement: Measurement) -> dict[str, Any]:
    """What the options that a record lacks were: options younger than it began as their defaults."""
    return {x.name: to_json(x.default) for x in fields(measurement.options) if x.default is not MISSING}


def _differences(there: dict[str, Any], asked: dict[str, Any]) -> str:
    """What of a table is not what is asked for, in words."""
    if there.get("measurement") != asked["measurement"]:
        return f"another measurement, {there.get('measurement')}"
    if there.get("code") != asked["code"]:
        return "other code of that name"
    ours, theirs = asked["options"], there.get("options", {})
    return ", ".join(
        f"{name} {compact(theirs.get(name))} and not {compact(ours.get(name))}"
        for name in ours | theirs
        if ours.get(name) != theirs.get(name)
    )
