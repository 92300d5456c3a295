"""What a sweep's folder holds besides its runs: curves, tuning, checks, costs. Each may be absent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoflop.analysis.columns.metrics import LOSS, with_metric
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.tables.reading import read_table
from isoflop.base.errors import UserError


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's extras. `curves`: by cell, tokens and training loss (nats per token), rows of 2xT, as far
    as kept. `evals`: what was measured of its kept models, by the measurement's name.
    """

    title: str | None = None
    tuning: pd.DataFrame | None = None
    checks: pd.DataFrame | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    evals: dict[str, pd.DataFrame] = field(default_factory=dict)


def read_sweep(table: RunTable) -> SweepFolder:
    """The extras beside a table that was loaded from a sweep's folder; nothing for any other table."""
    folder = table.folder
    if folder is None:
        return SweepFolder()
    about = _json(folder / "sweep.json")
    return SweepFolder(
        title=about.get("title") or (about.get("config") or {}).get("title") or about.get("name"),
        tuning=_table(folder / "tuning.csv"),
        checks=_table(folder / "checks.csv", table.metric),
        summary=_json(folder / "summary.json"),
        curves=_curves(table, folder / "cells"),
        evals={path.stem: read_table(path) for path in sorted((folder / "evals").glob("*.csv"))},
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not readable JSON: {error}") from error
    return data if isinstance(data, dict) else {}


def _table(path: Path, metric: str = LOSS) -> pd.DataFrame | None:
    """Finished rows with a loss, or the metric in its place; None where there is no such file or row."""
    if not path.is_file() or path.stat().st_size == 0:
        return None
    frame = read_table(path)
    if not {"loss", metric} <= set(frame.columns):
        return None
    frame = with_metric(frame, metric, str(path), list(frame.columns))
    keep = frame["loss"].notna()
    if "status" in frame.columns:
        keep &= frame["status"] == "finished"
    kept = frame.loc[keep].reset_index(drop=True)
    return None if kept.empty else kept


def _curves(table: RunTable, cells: Path) -> dict[str, np.ndarray]:
    curves: dict[str, np.ndarray] = {}
    for cell in table.frame["cell_id"].astype(str) if "cell_id" in table.frame.columns else ():
        path = cells / cell / "curve.jsonl"
        if not path.is_file() or path.stat().st_size == 0:
            continue
        curve = read_table(path)
        if {"tokens", "train_loss"} <= set(curve.columns):
            curves[cell] = np.asarray(curve[["tokens", "train_loss"]].dropna(), dtype=float).T
    return curves
