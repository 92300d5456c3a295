"""Runs of one cell, that differ in seed alone, and what their differences are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from isoflop.analysis.run_table import RunTable
from isoflop.analysis.tables.cautions import ONE_KIND
from isoflop.analysis.tables.cells import as_texts
from isoflop.analysis.tables.dependence import rate_search
from isoflop.analysis.uncertainty.resampling import trunks_of

RECIPE = (*ONE_KIND, "n_tokens_unique", "lr", "batch_tokens", "optimizer", "parametrization", "dtype")
"""Columns that differ between runs that are no repeats of each other."""
SEEDS = ("init_seed", "data_seed")
DIGITS = 6
"""Decimals of log N and log D that are alike in one cell."""
MOST_CONTRASTS = 600
"""Contrasts that are looked at, evenly over the cells: their scale is known to 3% by then."""


@dataclass(frozen=True)
class Contrasts:
    """F orthonormal contrasts of log losses, from which the cells' means have dropped out.

    Within runs that share trunks they are rotated so that they are uncorrelated: `rotation_FxF @ raw_F`, each
    of variance sd^2 (1 - share + share * trunks_F), where `share` is the trunk's of the variance of a run.
    """

    raw_F: np.ndarray
    rotation_FxF: np.ndarray
    trunks_F: np.ndarray
    log_N_F: np.ndarray
    """Of the cell that each raw contrast is of; `log_C_F` likewise."""
    log_C_F: np.ndarray
    freedom: float
    """Independent values: F, or fewer where parameters were fitted to them."""
    differences: bool
    """Each is a difference of runs, not a single run's."""


def cells_of(table: RunTable) -> np.ndarray:
    """The number of each run's cell, shape R: runs of one cell have one N, D and recipe."""
    parts = {"N": np.round(np.log(table.N_R), DIGITS), "D": np.round(np.log(table.D_R), DIGITS)}
    parts |= {n: as_texts(table.frame, n).to_numpy() for n in RECIPE if n in table.frame.columns}
    return pd.DataFrame(parts).groupby(list(parts), dropna=False, sort=False).ngroup().to_numpy()


def repeats_of(table: RunTable) -> tuple[np.ndarray, np.ndarray]:
    """The cell of each run, and which runs (R bools) have another seed beside them in their cell.

    A row that repeats another to the last digit under the same seed is no repeat, and neither are the rows of
    a search over learning rates whose rates the table does not give.
    """
    cell_R = cells_of(table)
    parts = {"cell": cell_R, "loss": table.loss_R}
    parts |= {n: as_texts(table.frame, n).to_numpy() for n in SEEDS if n in table.frame.columns}
    fresh_R = ~pd.DataFrame(parts).duplicated().to_numpy()
    if rate_search(cell_R, table.loss_R) is not None:
        return cell_R, np.zeros(len(table), dtype=bool)
    return cell_R, fresh_R & (np.bincount(cell_R, fresh_R)[cell_R] > 1)


def seed_contrasts(table: RunTable) -> Contrasts | None:
    """Contrasts between the seeds of each cell; None where no cell was trained more than once."""
    cell_R, repeated_R = repeats_of(table)
    if not repeated_R.any():
        return None
    rows = _some(cell_R, np.flatnonzero(repeated_R))
    trunk_R = trunks_of(table)
    cell, trunk = cell_R[rows], rows if trunk_R is None else trunk_R[rows]
    log_loss, block = np.log(table.loss_R[rows]), _connected(cell, trunk)
    parts = [_block(cell[k], trunk[k], log_loss[k]) for k in (np.flatnonzero(block == b) for b in set(block))]
    raw_F, trunks_F = (np.concatenate([part[i] for part in parts]) for i in (0, 2))
    first_F = np.concatenate([part[3] for part in parts])  # a cell each
    place = {c: r for r, c in zip(rows, cell, strict=True)}
    of_F = np.array([place[c] for c in first_F])
    return Contrasts(
        raw_F=raw_F,
        rotation_FxF=_block_diagonal([part[1] for part in parts]),
        trunks_F=trunks_F,
        log_N_F=np.log(table.N_R[of_F]),
        log_C_F=np.log(table.C_R[of_F]),
        freedom=float(len(raw_F)),
        differences=True,
    )


def residual_contrasts(table: RunTable, residual_R: np.ndarray, parameters: int) -> Contrasts:
    """The residuals of log loss about a fit of so many parameters, in the same shape: what stands in for
    seeds where a table has none, the law's own misfit included."""
    trunk_R = trunks_of(table)
    rows = np.unique(np.linspace(0, len(table) - 1, min(len(table), MOST_CONTRASTS)).round().astype(int))
    if trunk_R is None:
        rotation_FxF, trunks_F = np.eye(len(rows)), np.ones(len(rows))
    else:
        rows = rows[np.argsort(trunk_R[rows], kind="stable")]
        same = [trunk_R[rows] == t for t in np.unique(trunk_R[rows])]
        found = [np.linalg.eigh(np.ones((k.sum(), k.sum()))) for k in same]
        trunks_F = np.concatenate([values for values, _ in found])
        rotation_FxF = _block_diagonal([vectors.T for _, vectors in found])
    R = len(table)
    freedom = max(R - parameters, 1)
    # Residuals of a fit with P parameters have (R - P)/R of the variance of what is behind them.
    raw_F = residual_R[rows] * np.sqrt(R / freedom)
    return Contrasts(
        raw_F=raw_F,
        rotation_FxF=rotation_FxF,
        trunks_F=np.maximum(trunks_F, 0.0),
        log_N_F=np.log(table.N_R[rows]),
        log_C_F=np.log(table.C_R[rows]),
        freedom=max(len(rows) * freedom / R, 1.0),
        differences=False,
    )


def _some(cell_R: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of as many whole cells as are looked at, evenly over the cells."""
    cells = np.unique(cell_R[rows])
    several = max(1.0, (len(rows) - len(cells)) / MOST_CONTRASTS)
    chosen = cells[np.unique(np.arange(0, len(cells), several).astype(int))]
    return rows[np.isin(cell_R[rows], chosen)]


def _connected(cell: np.ndarray, trunk: np.ndarray) -> np.ndarray:
    """A number for each run, the same for runs that cells and trunks connect."""
    label = pd.Series(cell)
    while True:
        lower = label.groupby(trunk).transform("min").groupby(cell).transform("min")
        if (lower == label).all():
            return label.to_numpy()
        label = lower


def _block(
    cell: np.ndarray, trunk: np.ndarray, log_loss: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Contrasts of connected runs, the rotation that uncorrelates them, trunk variances, the cell of each."""
    rows, of_cell = [], []
    for c in np.unique(cell):
        k = np.flatnonzero(cell == c)
        # Helmert's contrasts: of the runs of a cell each against the mean of those before it.
        for j in range(1, len(k)):
            row = np.zeros(len(cell))
            row[k[:j]], row[k[j]] = 1.0 / j, -1.0
            rows.append(row / np.sqrt(1.0 + 1.0 / j))
            of_cell.append(c)
    H_FxR = np.array(rows)
    of_trunk_FxT = H_FxR @ (trunk[:, None] == np.unique(trunk))
    values_F, vectors_FxF = np.linalg.eigh(of_trunk_FxT @ of_trunk_FxT.T)
    return H_FxR @ log_loss, vectors_FxF.T, np.maximum(values_F, 0.0), np.array(of_cell)


def _block_diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    total = sum(len(block) for block in blocks)
    whole, at = np.zeros((total, total)), 0
    for block in blocks:
        whole[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return whole
