"""Tables from disk, as they are: CSV, JSON, JSON Lines and Parquet, and a sweep's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis.errors import UserError

SUFFIXES = {
    ".csv": "CSV",
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
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path} is not a readable {kind} table: {detail}") from error
    if frame.empty:
        raise UserError(f"{path} has no rows: it needs one row a run")
    frame.columns = [str(name).strip() for name in frame.columns]
    twice = sorted({name for name in frame.columns if list(frame.columns).count(name) > 1})
    if twice:
        raise UserError(f"{path} has the column {twice[0]!r} twice: rename or drop one")
    return frame


def _read(path: Path, kind: str) -> pd.DataFrame:
    if kind == "CSV":
        return pd.read_csv(path)
    if kind == "JSON":
        return pd.read_json(path, dtype=False)  # pyright: ignore[reportArgumentType]
    if kind == "JSON Lines":
        return pd.read_json(path, lines=True, dtype=False)  # pyright: ignore[reportArgumentType]
    return pd.read_parquet(path)


def rename(frame: pd.DataFrame, columns: Mapping[str, str] | None, where: str) -> pd.DataFrame:
    """Columns renamed by `{new: old}`. Raises `UserError` for an old name the table hasn't got."""
    for new, old in (columns or {}).items():
        if old not in frame.columns:
            raise UserError(f"{where} has no column {old!r} to call {new!r}; it has {listed(frame)}")
    chosen = columns or {}
    replaced = [new for new, old in chosen.items() if new != old and new in frame.columns]
    return frame.drop(columns=replaced).rename(columns={old: new for new, old in chosen.items()})


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
    return ", ".join(map(str, frame.columns))
