"""The contract of a measurement, and how one is found."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.base import plugins
from isoflop.base.errors import UserError
from isoflop.base.plugin_files import PINNED, content_id
from isoflop.evals.trained_model import TrainedModel

Row = dict[str, float | int | str]
"""One line of a measurement's table, by column."""

KIND = "measurement"


@dataclass(frozen=True)
class Measurement:
    """A measurement's file, loaded.

    `name`: that of its table unless another is given. `code`: a hash of a file of the user's own, empty for
    one of this package. `fit_options`: those of `isoflop fit` that fit the law of its table, if it has one.
    `timed`: columns that no two runs give alike, because they come of a clock.
    """

    name: str
    code: str
    title: str
    options: type[Any]
    measure: Callable[[TrainedModel, Any], Sequence[Row]]
    refuse: Callable[[TrainedModel, Any], None]
    fit_options: tuple[str, ...]
    timed: tuple[str, ...]

    def rows(self, model: TrainedModel, options: Any) -> list[Row]:
        """A model's rows. Raises `UserError` for what is no row of a table."""
        rows = [dict(row) for row in self.measure(model, options)]
        for row in rows:
            for column, value in row.items():
                if not isinstance(value, float | int | str) or (
                    isinstance(value, float) and not math.isfinite(value)
                ):
                    raise UserError(
                        f"measurement {self.name}: {column} of {model.cell.cell_id} is {value!r}: a column "
                        "holds finite numbers or text"
                    )
        return rows


def measurements() -> list[str]:
    """Names of the measurements that this package holds."""
    return [name.replace("_", "-") for name in plugins.names("isoflop.evals", "measure")]


def load_measurement(name: str) -> Measurement:
    """The measurement of that name, or in that `.py` file, or the copy of one that was pinned.

    Raises `UserError` with the known names for an unknown one, and for a file without `Options`.
    """
    module = plugins.load("isoflop.evals", "measure", name, KIND)
    pinned = PINNED.fullmatch(name)
    own = name.endswith(".py")
    options = getattr(module, "Options", None)
    frozen = getattr(getattr(options, "__dataclass_params__", None), "frozen", False)
    if not (isinstance(options, type) and frozen):
        raise UserError(f"measurement {name} has no Options: give it a frozen dataclass of that name")
    return Measurement(
        name=(Path(name.partition("@")[0]).stem if own or pinned else name).replace("_", "-"),
        code=pinned[2] if pinned else content_id(name, KIND) if own else "",
        title=(module.__doc__ or "").strip().partition("\n")[0],
        options=options,
        measure=module.measure,
        refuse=getattr(module, "refuse", lambda model, options: None),
        fit_options=tuple(getattr(module, "FIT_OPTIONS", ())),
        timed=tuple(getattr(module, "TIMED", ())),
    )
