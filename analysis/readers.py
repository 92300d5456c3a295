"""Tables from disk, as they are: CSV, JSON, JSON Lines and Parquet, and a sweep's folder."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from isoflop.base.errors import UserError

SUFFIXES = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".json": "JSON",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".parquet": "Parquet",
}
LISTED = 24
"""A message lists this many columns."""


def locate(source: str | Path) -> tuple[Path, Path | None]:
    """The table's file, and the sweep folder it belongs to if `source` is one.

    Raises `UserError` for what isn't there and for a folder without a `runs.csv`.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / "runs.csv").is_file():
            raise UserError(f"{path} holds no runs.csv: name a sweep's folder, or the table itself")
        return path / "runs.csv", path
    if not path.is_file():
        raise UserError(f"no table at {path}: the file does not exist")
    return path, None


def read_table(path: Path) -> pd.DataFrame:
    """The rows of one file, columns as named there. Raises `UserError` where it can't be read as a table."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UserError(
            f"{path}: cannot read {path.suffix or 'a file without a suffix'}; use {', '.join(SUFFIXES)}"
        )
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty: it needs a header and one row a run")
    try:
        frame = _read(path, kind)
    except Exception as error:  # every parser has its own errors, and each means the same to the caller
        detail = one_line(str(error).strip() or type(error).__name__)
        raise UserError(f"{path} is not a readable {kind} table: {detail}") from error
    return tidy(frame, str(path))


def tidy(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows numbered from 0, column names as text on one line.

    Raises `UserError` for a table without rows, and for two columns of one name.
    """
    if frame.empty:
        raise UserError(f"{where} has no rows: it needs one row a run")
    frame = frame.reset_index(drop=True)
    names = [" ".join(str(name).split()) for name in frame.columns]
    frame.columns = pd.Index(names, dtype=object)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise UserError(f"{where} has the column {one_line(twice[0])!r} twice: rename or drop one")
    return frame


def _read(path: Path, kind: str) -> pd.DataFrame:
    if kind in ("CSV", "TSV"):
        with warnings.catch_warnings():
            # Rows longer than the header are an error: pandas would shift or cut them.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            separator = "," if kind == "CSV" else "\t"
            return pd.read_csv(path, sep=separator, index_col=False, low_memory=False)
    if kind == "JSON":
        return pd.read_json(path, dtype=False)  # pyright: ignore[reportArgumentType]
    if kind == "JSON Lines":
        return pd.read_json(path, lines=True, dtype=False)  # pyright: ignore[reportArgumentType]
    return pd.read_parquet(path)


def rename(frame: pd.DataFrame, columns: Mapping[str, str] | None, where: str) -> pd.DataFrame:
    """Columns renamed by `{new: old}`. Raises `UserError` for an old name the table hasn't got."""
    for new, old in (columns or {}).items():
        if old not in frame.columns:
            raise UserError(
                f"{where} has no column {one_line(old)!r} to call {one_line(new)!r}; it has {listed(frame)}"
            )
    chosen = columns or {}
    gone = {*chosen.keys(), *chosen.values()} & set(frame.columns)
    return frame.drop(columns=list(gone)).assign(**{new: frame[old] for new, old in chosen.items()})


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
