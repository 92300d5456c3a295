"""Which table a fit is of, by its content, and what made both; what of that differs between two fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoflop.base.provenance import Provenance, provenance

if TYPE_CHECKING:
    import pandas as pd

    from isoflop.analysis.run_table import RunTable

TRAINED = ("isoflop_version", "jax_version", "host")
"""Columns of a run table that say where its runs were trained."""
MEASURED_ON = ("dataset", "tokenizer", "vocab_size", "context_length", "data_digest", "eval_windows")
"""Columns that say on which text and windows its losses were measured."""


@dataclass(frozen=True)
class TableOrigin:
    """Which table a fit is of. `trained`: what its columns say of where its runs were trained, by column;
    `measured`: of the text and the windows of their losses."""

    source: str
    sha256: str | None
    trained: dict[str, tuple[str, ...]]
    measured: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class FitProvenance(Provenance):
    """What made a fit (versions, commit, machine, time), and of which `table`."""

    table: TableOrigin


def hash_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of_rows(frame: pd.DataFrame) -> str:
    """SHA-256 of a table that is no file, written as CSV."""
    return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()


def content_hash(hashes: Sequence[str]) -> str:
    """One hash of several tables in their order; a single table's own."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def provenance_of(table: RunTable) -> FitProvenance:
    """What a fit of `table` that is made now says of where it comes from."""
    trained, measured = ({name: _kinds(table, name) for name in names} for names in (TRAINED, MEASURED_ON))
    origin = TableOrigin(table.source, table.sha256, trained, measured)
    return FitProvenance(**vars(provenance()), table=origin)


def _kinds(table: RunTable, column: str) -> tuple[str, ...]:
    if table.column(column) is None:
        return ()
    return tuple(sorted({_text(value) for value in table.frame[column].dropna()}))


def _text(value: Any) -> str:
    """A cell as text: whole numbers without a point, however the column was read."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def differences(a: FitProvenance | None, b: FitProvenance | None) -> list[str]:
    """What differs in where two fits and their runs come from, a sentence each; hosts may differ."""
    if a is None or b is None:
        return []
    here, there = (
        {
            "fitted with different versions of isoflop": each.version,
            "fitted with different versions of jax": str(each.packages.get("jax")),
            "trained with different versions of isoflop": _trained(each, "isoflop_version") or "not recorded",
            "trained with different versions of jax": _trained(each, "jax_version") or "not recorded",
        }
        for each in (a, b)
    )
    return [f"{what}: {here[what]}, {there[what]}" for what in here if here[what] != there[what]]


def _trained(made_by: FitProvenance, column: str) -> str:
    return ", ".join(made_by.table.trained.get(column, ()))


def is_stale(folder: Path) -> bool:
    """Whether the `runs.csv` of a folder is another than the one that its `fit.json` was made of.

    False where either is missing, or where the fit does not say what it was made of.
    """
    try:
        fitted = json.loads((folder / "fit.json").read_text())["provenance"]["table"]["sha256"]
        return fitted != hash_of_file(folder / "runs.csv")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def origin_line(made_by: FitProvenance | None) -> str:
    """What made a fit and its runs, in a sentence or two; empty where it doesn't say."""
    if made_by is None:
        return ""
    packages = ", ".join(f"{name} {number}" for name, number in made_by.packages.items() if number)
    versions = {name: _trained(made_by, f"{name}_version") for name in ("isoflop", "jax")}
    by = [f"{name} {version}" for name, version in versions.items() if version]
    host = _trained(made_by, "host")
    where = f" on {host}" if host else ""
    runs = f" Runs trained by {' and '.join(by)}{where}." if by else ""
    return (
        f"Made by isoflop {made_by.version} with Python {made_by.python}, {packages} on "
        f"{made_by.host} ({made_by.processor}), {made_by.time}.{runs}"
    )
