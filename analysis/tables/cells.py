"""The values of a table's cells: text, numbers, truth values."""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd

LISTED = 24
"""A message lists this many columns."""


def listed(frame: pd.DataFrame) -> str:
    """The table's columns, for a message."""
    more = f" and {len(frame.columns) - LISTED} more" if len(frame.columns) > LISTED else ""
    return ", ".join(one_line(name) for name in frame.columns[:LISTED]) + more


def one_line(value: object, most: int = 200) -> str:
    """Any value as a short text without line breaks, for a message."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[:most] + "..."


def as_texts(frame: pd.DataFrame, name: str) -> pd.Series:
    """The column's values as text, whatever they are; empty cells stay empty."""
    column = pd.Series(frame[name])
    cells = zip(column.tolist(), column.isna().tolist(), strict=True)
    return pd.Series([None if empty else str(cell) for cell, empty in cells], column.index, dtype=object)


def as_floats(frame: pd.DataFrame, name: str) -> np.ndarray:
    """The column's numbers, and text that is one; NaN for everything else: dates, truth values, lists."""
    column = pd.Series(frame[name])
    kind = column.dtype
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
        if pd.api.types.is_complex_dtype(kind):
            return np.full(len(column), np.nan)
        return column.to_numpy(dtype=float, na_value=np.nan)
    if not (pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind)):
        return np.full(len(column), np.nan)
    return np.fromiter(map(_as_float, column), dtype=float, count=len(column))


def _as_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | Real | Decimal):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
