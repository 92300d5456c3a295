"""Which runs belong to one IsoFLOP curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.runs import RunTable

NEARLY = 0.05
"""Budgets are nearly equal within this relative distance of their neighbour ..."""
SPAN = 0.15
"""... and within this over the whole group: a chain of small steps is no group."""
APART = 2.0
"""Groups lie further from their neighbours than this many times their own width in log C."""
DESIGNED = 0.5
"""Without a budget column the groups are a design only if they hold this share of the runs."""
SIZES = 3
"""A parabola needs this many distinct sizes."""


@dataclass(frozen=True)
class Group:
    """Runs of one budget. `flops`: geometric mean of their training FLOPs; `rows`: positions in the table."""

    flops: float
    rows: np.ndarray


def isoflop_groups(table: RunTable) -> list[Group]:
    """Groups of at least three distinct sizes, sorted by FLOPs: by `budget`, else by nearly equal FLOPs.

    A budget whose runs differ in the FLOPs that the fit counts is no IsoFLOP there: budgets equal in the
    table's own FLOPs are none under 6ND.
    """
    budget_R = table.budget_R
    if budget_R is None:
        members = _nearly_equal(table.C_R)
    else:
        members = [np.flatnonzero(budget_R == value) for value in np.unique(budget_R[np.isfinite(budget_R)])]
        members = [rows for rows in members if np.ptp(np.log(table.C_R[rows])) <= np.log1p(NEARLY)]
    kept = [rows for rows in members if len(np.unique(table.N_R[rows])) >= SIZES]
    if budget_R is None and sum(map(len, kept)) < DESIGNED * len(table):
        return []  # runs of other designs meet in compute by chance
    groups = [Group(float(np.exp(np.log(table.C_R[rows]).mean())), rows) for rows in kept]
    return sorted(groups, key=lambda group: group.flops)


def _nearly_equal(C_R: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(C_R, kind="stable")
    x = np.log(C_R[order])
    cuts = np.flatnonzero(np.diff(x) > np.log1p(NEARLY)) + 1
    gaps = np.concatenate([[np.inf], np.diff(x)[cuts - 1], [np.inf]])
    apart = np.minimum(gaps[:-1], gaps[1:])
    parts = np.split(order, cuts)
    width = np.array([np.ptp(np.log(C_R[part])) for part in parts])
    kept = (width <= np.log1p(SPAN)) & (apart > APART * width)
    return [part for part, keep in zip(parts, kept, strict=True) if keep]
