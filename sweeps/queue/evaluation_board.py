"""The kept models that a measurement lacks, as one file that every worker reads: a task each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from isoflop.base.json_values import from_json, to_json
from isoflop.evals.table import record_name
from isoflop.evals.trained_model import TrainedModel
from isoflop.sweeps.queue.board import file_name
from isoflop.sweeps.queue.store import Contents, Store
from isoflop.train.spec import Recipe


@dataclass(frozen=True)
class Evaluation:
    """A model to measure, by the measurement of that name, whose options are given as JSON."""

    model: TrainedModel
    measurement: str
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """What claims call it."""
        return self.model.cell.cell_id

    @property
    def recipe(self) -> Recipe:
        """How the model was trained."""
        return self.model.recipe

    def is_done(self, store: Store) -> bool:
        """Whether its record is in the table's folder."""
        return store.cell(record_name(self.model)).exists()


@dataclass(frozen=True)
class EvaluationBoard:
    """Models to measure. `measurement`: a name of this package's, or of a file that was pinned."""

    measurement: str
    options: dict[str, Any]
    models: Sequence[TrainedModel]

    @property
    def stage(self) -> str:
        """What people call it."""
        return f"measure {self.measurement}"

    @cached_property
    def name(self) -> str:
        """The name of the board's file, by its content: coordinators of one table write the same one."""
        return file_name(self.stage, {"options": self.options, "models": sorted(self.recipes)})

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """Model -> its recipe."""
        return {name: model.recipe for name, model in self._models.items()}

    def missing(self, contents: Contents) -> set[str]:
        """The models without a record, but for those that failed as often as is tried."""
        found = {name for name, model in self._models.items() if record_name(model) not in contents.cells}
        return found - contents.failed_segments

    def ready(self, missing: set[str], contents: Contents) -> list[str]:
        """All of them, the largest first: the last to finish is then as early as it can be."""
        return sorted(missing, key=lambda name: (-self.recipes[name].ledger.params("total"), name))

    def task(self, name: str, missing: set[str]) -> Evaluation:
        """A model to measure."""
        return Evaluation(self._models[name], self.measurement, self.options)

    def unneeded_checkpoints(self, missing: set[str], contents: Contents) -> Sequence[str]:
        """None: the models stay as they are."""
        return ()

    def to_text(self) -> str:
        """The board's file, which `read_evaluations` reads."""
        models = [to_json(model) for model in self.models]
        return json.dumps({"measurement": self.measurement, "options": self.options, "models": models})

    @cached_property
    def _models(self) -> dict[str, TrainedModel]:
        return {model.cell.cell_id: model for model in self.models}


def read_evaluations(value: dict[str, Any]) -> EvaluationBoard | None:
    """The board that a file of `board/` holds; None where it is one of training."""
    if "measurement" not in value:
        return None
    models = [from_json(TrainedModel, model) for model in value["models"]]
    return EvaluationBoard(value["measurement"], value["options"], models)
