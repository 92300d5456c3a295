"""The values of a table's cells: text, numbers, truth values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd

MANY = {
    "k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9,
    "t": 1e12, "tn": 1e12, "trillion": 1e12,
}  # fmt: skip
"""Letters and words after a count: `350M`."""
GROUPED = re.compile(r"\d{1,3}(?P<sign>[, _'\u00a0\u202f])\d{3}(?:(?P=sign)\d{3})*(\.\d+)?")
COMMA = re.compile(r"\d+,\d+([eE][+-]?\d+)?")
SHORT = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<many>[a-z]+)", re.IGNORECASE)
MANY_LISTED = 24
"""Columns that a message lists where the reader has to find one among them."""
FEW_LISTED = 4
"""Items that a message lists as examples: they stay on one line of a terminal."""


def listed(items: Sequence[object], most: int = MANY_LISTED) -> str:
    """The first items, each on one line, and how many there are besides: for a message."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(one_line(item) for item in items[:most]) + more


def one_line(value: object, most: int = 200) -> str:
    """Any value as a short text without line breaks, for a message."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[:most] + "..."


def as_texts(frame: pd.DataFrame, name: str) -> pd.Series:
    """The column's values as text, whatever they are; empty cells stay empty."""
    column = pd.Series(frame[name])
    cells = zip(column.tolist(), column.isna().tolist(), strict=True)
    return pd.Series([None if empty else str(cell) for cell, empty in cells], column.index, dtype=object)


def has_numbers(frame: pd.DataFrame, name: str) -> bool:
    """Whether any cell of the column is a finite number."""
    return bool(np.isfinite(as_floats(frame, name)).any())


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


def spelled_numbers(cells: pd.Series, is_count: bool) -> tuple[pd.Series, list[str]]:
    """The column with text that spells a number as that number, and the texts so read.

    Of a count: groups of thousands (`1,234,567`), letters (`350M`). A comma that groups no thousands, as in
    every loss, is a decimal comma.
    """
    if not (pd.api.types.is_object_dtype(cells.dtype) or pd.api.types.is_string_dtype(cells.dtype)):
        return cells, []
    texts = {cell for cell in cells if isinstance(cell, str) and math.isnan(_as_float(cell))}
    decimal = not is_count or any(
        COMMA.fullmatch(t.strip()) and not GROUPED.fullmatch(t.strip()) for t in texts
    )
    read = {text: _spelled(text.strip(), is_count, decimal) for text in texts}
    read = {text: value for text, value in read.items() if not math.isnan(value)}
    if not read:
        return cells, []
    return cells.astype(object).map(lambda cell: read.get(cell, cell) if isinstance(cell, str) else cell), [
        *read
    ]


def _spelled(text: str, is_count: bool, decimal: bool) -> float:
    if decimal and COMMA.fullmatch(text):
        return _as_float(text.replace(",", "."))
    if is_count and GROUPED.fullmatch(text):
        return _as_float(re.sub(r"[^\d.]", "", text))
    short = SHORT.fullmatch(text) if is_count else None
    return _as_float(short["number"]) * MANY.get(short["many"].lower(), math.nan) if short else math.nan
