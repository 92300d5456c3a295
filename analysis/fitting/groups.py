"""Which runs belong to one IsoFLOP curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.runs import RunTable

NEARLY = 0.05
"""Budgets are nearly equal within this relative distance of their neighbour ..."""
SPAN = 0.15
"""... and within this over the whole group: a chain of small steps is no group."""
SIZES = 3
"""A parabola needs this many distinct sizes."""


@dataclass(frozen=True)
class Group:
    """Runs of one budget. `flops`: geometric mean of their training FLOPs; `rows`: positions in the table."""

    flops: float
    rows: np.ndarray


def isoflop_groups(table: RunTable) -> list[Group]:
    """Groups of at least three distinct sizes, by `budget` where the table has it, else by nearly equal
    FLOPs.

    Sorted by FLOPs. The budget is an IsoFLOP in the table's own FLOPs: under 6ND the runs are grouped by 6ND.
    """
    budget_R = table.budget_R
    own = table.conventions["flops_meaning"] != "6 N D" or "flops" not in table.rows.columns
    if budget_R is not None and own:
        label_R = np.where(np.isfinite(budget_R), budget_R, -1.0)
        members = [np.flatnonzero(label_R == value) for value in np.unique(label_R) if value > 0]
    else:
        members = _nearly_equal(table.C_R)
    kept = [rows for rows in members if len(np.unique(table.N_R[rows])) >= SIZES]
    groups = [Group(float(np.exp(np.log(table.C_R[rows]).mean())), rows) for rows in kept]
    return sorted(groups, key=lambda group: group.flops)


def _nearly_equal(C_R: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(C_R, kind="stable")
    x = np.log(C_R[order])
    cuts = np.flatnonzero(np.diff(x) > np.log1p(NEARLY)) + 1
    parts = np.split(order, cuts)
    return [part for part in parts if np.ptp(np.log(C_R[part])) <= np.log1p(SPAN)]
