"""Strategies by problem, as `isoflop evaluate DIR search --by-problem` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoflop.analysis.tables.cells import listed
from isoflop.analysis.tables.reading import locate, read_table
from isoflop.analysis.tables.selecting import select
from isoflop.analysis.test_time.spending import Way
from isoflop.base.errors import UserError

NEEDS = ("method", "reward", "samples", "problem", "accuracy")


def load_strategies(source: str | Path | pd.DataFrame, *, where: str | None = None) -> Way:
    """A way to spend samples whose options are the table's methods, rewards and numbers of samples, the same
    for all problems; `dataclasses.replace` gives it a difficulty. Problems are in ascending order.

    Raises `UserError` for a table without the columns, and for one in which a problem lacks an option.
    """
    frame: Any = source if isinstance(source, pd.DataFrame) else read_table(locate(source)[0])
    name = "the table" if isinstance(source, pd.DataFrame) else str(source)
    if lacking := [column for column in NEEDS if column not in frame.columns]:
        raise UserError(
            f"{name} has no column {lacking[0]}; it has {listed(list(frame.columns))}. isoflop evaluate DIR "
            "search --by-problem writes such a table"
        )
    if where:
        frame = select(frame, where, name, list(map(str, frame.columns)))
    by = frame.astype({"samples": float, "accuracy": float, "problem": int})
    if by.duplicated(["method", "reward", "samples", "problem"]).any():
        raise UserError(f"{name}: a problem has two rows of one option: choose one model with where")
    table = by.pivot_table(index=["samples", "method", "reward"], columns="problem", values="accuracy")
    if table.isna().any(axis=None):
        raise UserError(f"{name}: some problems lack some options")
    rate_OxP = table.to_numpy()
    cost_O = table.index.get_level_values("samples").to_numpy(dtype=float)
    return Way("one choice for all", np.broadcast_to(cost_O[:, None], rate_OxP.shape), rate_OxP)
