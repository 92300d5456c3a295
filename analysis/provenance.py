"""Which table a fit is of, by its content, and what made both; what of that differs between two fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoflop.base.provenance import Provenance, provenance

if TYPE_CHECKING:
    import pandas as pd

    from isoflop.analysis.run_table import RunTable

TRAINED = ("isoflop_version", "jax_version", "host")
"""Columns of a run table that say where its runs were trained."""


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


def provenance_of(table: RunTable) -> dict[str, Any]:
    """What a fit of `table` that is made now says of where it comes from, as JSON values."""
    trained = {name: _kinds(table, name) for name in TRAINED}
    about = {"source": table.source, "sha256": table.sha256, "trained": trained}
    return provenance().to_json() | {"table": about}


def _kinds(table: RunTable, column: str) -> list[str]:
    values = table.column(column)
    return [] if values is None else sorted({str(value) for value in values if isinstance(value, str)})


def differences(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> list[str]:
    """What differs in where two fits and their runs come from, a sentence each; hosts may differ."""
    if a is None or b is None:
        return []
    found = []
    for name in ("isoflop", "jax"):
        here, there = (_versions(item, name) for item in (a, b))
        if here != there:
            found.append(f"fitted with different versions of {name}: {here}, {there}")
    for name, column in (("isoflop", "isoflop_version"), ("jax", "jax_version")):
        here, there = (
            ", ".join(item["table"]["trained"].get(column, ())) or "not recorded" for item in (a, b)
        )
        if here != there:
            found.append(f"trained with different versions of {name}: {here}, {there}")
    return found


def _versions(item: Mapping[str, Any], package: str) -> str:
    made_by = Provenance(**{key: value for key, value in item.items() if key != "table"})
    return made_by.version if package == "isoflop" else str(made_by.packages.get(package))


def is_stale(folder: Path) -> bool:
    """Whether the `runs.csv` of a folder is another than the one that its `fit.json` was made of.

    False where either is missing, or where the fit does not say what it was made of.
    """
    try:
        fitted = json.loads((folder / "fit.json").read_text())["provenance"]["table"]["sha256"]
        return fitted != hash_of_file(folder / "runs.csv")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def origin_line(item: Mapping[str, Any] | None) -> str:
    """What made a fit and its runs, in a sentence or two; empty where it doesn't say."""
    if item is None:
        return ""
    packages = ", ".join(f"{name} {number}" for name, number in item["packages"].items() if number)
    trained = item["table"]["trained"]
    versions = [f"isoflop {', '.join(v)}" for v in [trained.get("isoflop_version")] if v]
    versions += [f"jax {', '.join(v)}" for v in [trained.get("jax_version")] if v]
    where = f" on {', '.join(trained['host'])}" if trained.get("host") else ""
    runs = f" Runs trained by {' and '.join(versions)}{where}." if versions else ""
    return (
        f"Made by isoflop {_versions(item, 'isoflop')} with Python {item['python']}, {packages} on "
        f"{item['host']} ({item['processor']}), {item['time']}.{runs}"
    )
