"""The loss curves of a sweep's own cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from isoflop.analysis.tables.cells import as_texts, listed
from isoflop.analysis.tables.reading import read_table
from isoflop.base.errors import UserError

SIZE = "n_params_non_embedding"


def is_sweep(path: Path) -> bool:
    """Whether a folder is a sweep's, with cells that kept their curves."""
    return (path / "runs.csv").is_file() and (path / "cells").is_dir()


def sweep_tables(folder: Path) -> Iterator[tuple[Path, str, pd.DataFrame]]:
    """Each finished cell's file, name and rows (`step`, `lr`, `loss`), longest run of a trunk first.

    A row of `curve.jsonl` is the mean over a stretch of steps, whose last it names: here it stands at the
    stretch's middle, and the rate, at the last step, in a row of its own. Cells of one trunk share its steps:
    of all but the longest only the rows after they left it, where their own rate falls, have a loss.

    The name is N, and the cell's id: N14312_e811eb2c7390178a.
    """
    runs = read_table(folder / "runs.csv")
    if "cell_id" not in runs or SIZE not in runs or "status" not in runs:
        raise UserError(f"{folder / 'runs.csv'} is no sweep's: it needs cell_id, status and {SIZE}")
    finished = runs.loc[as_texts(runs, "status") == "finished"]
    finished = finished.sort_values("n_tokens", ascending=False, kind="stable")
    trunks: set[str] = set()
    for cell, trunk, size in zip(
        as_texts(finished, "cell_id"),
        as_texts(finished, "trunk_id") if "trunk_id" in finished else as_texts(finished, "cell_id"),
        finished[SIZE],
        strict=True,
    ):
        path = folder / "cells" / str(cell) / "curve.jsonl"
        if not path.is_file() or path.stat().st_size == 0:
            continue
        yield path, f"N{size:.0f}_{cell}", _rows(read_table(path), path, branch_alone=trunk in trunks)
        trunks.add(str(trunk))


def _rows(curve: pd.DataFrame, path: Path, branch_alone: bool) -> pd.DataFrame:
    if missing := {"step", "lr", "train_loss"} - set(curve.columns):
        raise UserError(f"{path} lacks {listed(sorted(missing))}: it is no curve of a sweep's cell")
    last = curve["step"].to_numpy(dtype=int)
    rate = curve["lr"].to_numpy(dtype=float)
    # Steps are counted from 1 there: the last of a stretch, as a number from 0, is one less.
    first = np.concatenate([[0], last[:-1]])
    middle = (first + last - 1) // 2
    loss = curve["train_loss"].to_numpy(dtype=float, copy=True)
    if branch_alone:
        stable = np.flatnonzero(rate >= (1 - 1e-6) * rate.max())[-1]
        loss[: stable + 1] = np.nan
    rates = pd.DataFrame({"step": last - 1, "lr": rate})
    losses = pd.DataFrame({"step": middle, "loss": loss})
    return rates.merge(losses, on="step", how="outer").sort_values("step").reset_index(drop=True)
