"""Tables from disk, as they are: CSV, JSON, JSON Lines and Parquet, and a sweep's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from isoflop.analysis.tables.cells import listed, one_line
from isoflop.analysis.tables.delimited import read_delimited
from isoflop.analysis.tables.nested import expand, records, refuse_chart
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
    """The rows numbered from 0 without empty ones, column names as text on one line, dictionaries as columns.

    Raises `UserError` for a table without rows, for two columns of one name, and for a chart's export.
    """
    if frame.empty:
        raise UserError(f"{where} has no rows: it needs one row a run")
    refuse_chart(frame, where)
    frame = _named(_named(frame.reset_index(drop=True), where).pipe(expand), where)
    frame = frame.loc[frame.notna().any(axis=1)]  # spreadsheets leave empty rows at the end
    if frame.empty:
        raise UserError(f"{where} has only empty rows: it needs one row a run")
    return frame


def _named(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    names = pd.Index([" ".join(str(name).split()) for name in frame.columns], dtype=object)
    twice = names[names.duplicated()]
    if len(twice):
        raise UserError(f"{where} has the column {one_line(twice[0])!r} twice: rename or drop one")
    return frame.set_axis(names, axis=1)


def _read(path: Path, kind: str) -> pd.DataFrame:
    if kind in ("CSV", "TSV"):
        return read_delimited(path, tabs=kind == "TSV")
    if kind == "JSON":
        rows = records(json.loads(path.read_text(encoding="utf-8-sig")))
        if rows is not None:
            return pd.DataFrame(rows)
        return pd.read_json(path, dtype=False)  # pyright: ignore[reportArgumentType]  # its stub
    if kind == "JSON Lines":
        return pd.read_json(path, lines=True, dtype=False)  # pyright: ignore[reportArgumentType]  # its stub
    return pd.read_parquet(path)


def rename(frame: pd.DataFrame, columns: Mapping[str, str] | None, where: str) -> pd.DataFrame:
    """Columns renamed by `{new: old}`. Raises `UserError` for an old name the table hasn't got."""
    for new, old in (columns or {}).items():
        if old not in frame.columns:
            raise UserError(
                f"{where} has no column {one_line(old)!r} to call {one_line(new)!r}; it has "
                f"{listed(list(frame.columns))}"
            )
    chosen = columns or {}
    gone = {*chosen.keys(), *chosen.values()} & set(frame.columns)
    return frame.drop(columns=list(gone)).assign(**{new: frame[old] for new, old in chosen.items()})
