"""Tables from disk, as they are: CSV, JSON, JSON Lines and Parquet, and a sweep's folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from isoflop.analysis.tables.cells import listed, one_line
from isoflop.base.errors import UserError

SUFFIXES = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".json": "JSON",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".parquet": "Parquet",
}


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
