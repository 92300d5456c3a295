"""Which rows and columns the user asks for: `--where` and `--columns`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis.tables.cells import listed
from isoflop.base.errors import UserError


def select(frame: pd.DataFrame, where: str, source: str) -> pd.DataFrame:
    """The rows that have the values of `"column=value,..."`, numbers compared as numbers.

    Raises `UserError` for a text of another form, an unknown column, and values that no row has.
    """
    for item in where.split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not (name and equals and value):
            raise UserError(f"--where {item.strip()!r}: write column=value, as in dataset=c4")
        if name not in frame.columns:
            raise UserError(f"--where {name}: {source} has no such column; it has {listed(frame)}")
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            keep = np.asarray(column == pd.to_numeric(value, errors="coerce"))
        else:
            keep = np.asarray(column.astype("string").str.strip().fillna("") == value, dtype=bool)
        if not keep.any():
            known = ", ".join(map(str, column.dropna().unique()[:6]))
            raise UserError(f"--where {name}={value}: no row of {source} has it; {name} is {known}")
        frame = frame.loc[keep]
    return frame.reset_index(drop=True)


def parse_columns(text: str | None) -> dict[str, str]:
    """`"loss=val_loss,n_params=N"` -> `{"loss": "val_loss", "n_params": "N"}`."""
    pairs: dict[str, str] = {}
    for item in (text or "").split(","):
        if not item.strip():
            continue
        new, equals, old = (part.strip() for part in item.partition("="))
        if not (new and equals and old):
            raise UserError(f"--columns {item.strip()!r}: write new=old, as in loss=val_loss,n_params=N")
        pairs[new] = old
    return pairs
