"""Which runs belong to one IsoFLOP curve."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.run_table import RunTable

NEARLY_EQUAL = 0.07
"""Budgets are nearly equal within this relative distance of their neighbour: runs that scatter by 3% to
either side of a budget stay together, budgets 10% apart don't ..."""
WIDEST_GROUP = 0.15
"""... and within this over the whole group: a chain of small steps is no group."""
GAP_TO_WIDTH = 2.0
"""Groups lie further from their neighbours than this many times their own width in log C."""
SHARP_GAP = 0.02
"""Budgets closer than `NEARLY_EQUAL` are kept apart down to this distance where runs sit exactly on them
..."""
SHARP_RATIO = 20.0
"""... that is, where the gaps are this many times the widths."""
CROWD_RATIO = 3.0
"""Among scattered runs, a budget is a stretch of `WIDEST_GROUP` that holds this many times the runs of either
stretch beside it, and two more."""
SHARE_IN_GROUPS = 0.5
"""Without a budget column the groups are a design only if they hold this share of the runs."""
FEWEST_SIZES = 3
"""A parabola needs this many distinct sizes."""


@dataclass(frozen=True)
class IsoflopGroup:
    """Runs of one budget. `flops`: geometric mean of their training FLOPs; `rows`: positions in the table."""

    flops: float
    rows: np.ndarray


def isoflop_groups(table: RunTable) -> list[IsoflopGroup]:
    """Groups of at least three distinct sizes, sorted by FLOPs: by `budget`, else by nearly equal FLOPs.

    A budget whose runs differ in the FLOPs that the fit counts is no IsoFLOP there: budgets equal in the
    table's own FLOPs are none under 6ND.
    """
    budget_R = table.budget_R
    if budget_R is None:
        members = nearly_equal(table.C_R, table.N_R)
    else:
        named = np.flatnonzero(np.isfinite(budget_R))
        members = [named[rows] for rows in nearly_equal(budget_R[named], table.N_R[named])]
        # Equal nominal budgets are no IsoFLOP in FLOPs of another count: N_opt would be read off a slope.
        members = [rows for rows in members if np.ptp(np.log(table.C_R[rows])) <= np.log1p(NEARLY_EQUAL)]
    kept = [rows for rows in members if len(np.unique(table.N_R[rows])) >= FEWEST_SIZES]
    if budget_R is None and sum(map(len, kept)) < SHARE_IN_GROUPS * len(table):
        return []  # runs of other designs meet in compute by chance
    groups = [IsoflopGroup(float(np.exp(np.log(table.C_R[rows]).mean())), rows) for rows in kept]
    return sorted(groups, key=lambda group: group.flops)


def nearly_equal(C_R: np.ndarray, N_R: np.ndarray) -> list[np.ndarray]:
    """Positions in `C_R` (positive, FLOPs) of each set of nearly equal values, ascending; strays stay alone.

    Sets are separated by the gaps between them, not by rounding, so that neither their scale nor the order
    of the runs matters. `N_R`, the runs' sizes: a run that stands twice in the table is one.
    """
    if not len(C_R):
        return []
    # Stretches without a gap first. One that holds several sharp budgets is cut into them; one that nothing
    # near it could belong to is a group; what is left is searched for crowds.
    order = np.argsort(C_R, kind="stable")
    x = np.log(C_R[order])
    found: list[tuple[int, int]] = []
    for start, stop in _linked(x, 0, len(x), np.log1p(NEARLY_EQUAL)):
        sharp = _linked(x, start, stop, np.log1p(SHARP_GAP))
        if len(sharp) > 1 and _are_sharp(x, N_R[order], sharp):
            found += sharp
        elif _stands_alone(x, start, stop):
            found.append((start, stop))
    found += _crowds(x, found)
    return [np.sort(order[start:stop]) for start, stop in sorted(found)]


def _linked(x: np.ndarray, start: int, stop: int, gap: float) -> list[tuple[int, int]]:
    """Stretches of the sorted x[start:stop] without a larger gap inside, as (first, one past the last)."""
    cuts = np.flatnonzero(np.diff(x[start:stop]) > gap) + start + 1
    edges = [start, *cuts.tolist(), stop]
    return list(itertools.pairwise(edges))


def _are_sharp(x: np.ndarray, sizes: np.ndarray, parts: list[tuple[int, int]]) -> bool:
    """Each part a budget of its own: enough sizes, and gaps that dwarf all widths."""
    width = max(x[stop - 1] - x[start] for start, stop in parts)
    gap = min(x[after[0]] - x[before[1] - 1] for before, after in itertools.pairwise(parts))
    distinct = min(len(np.unique(sizes[start:stop])) for start, stop in parts)
    return distinct >= FEWEST_SIZES and gap > SHARP_RATIO * width


def _stands_alone(x: np.ndarray, start: int, stop: int) -> bool:
    """The stretch is narrow, and further from its neighbours than it is wide."""
    width = x[stop - 1] - x[start]
    below = x[start] - x[start - 1] if start > 0 else np.inf
    above = x[stop] - x[stop - 1] if stop < len(x) else np.inf
    return width <= np.log1p(WIDEST_GROUP) and min(below, above) > GAP_TO_WIDTH * width


def _crowds(x: np.ndarray, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of `WIDEST_GROUP`, outside those found, that hold far more runs than the stretches beside
    them."""
    span = np.log1p(WIDEST_GROUP)
    # A stretch begins at each distinct value and holds what lies within the span above it; the stretches to
    # compare with are as long, so that the counts are densities.
    first = np.flatnonzero(np.diff(x, prepend=-np.inf) > 0)
    last = np.searchsorted(x, x[first] + span, side="right")
    runs = last - first
    below = first - np.searchsorted(x, x[first] - span, side="left")
    above = np.searchsorted(x, x[last - 1] + span, side="right") - last
    crowded = (runs >= FEWEST_SIZES) & (runs >= CROWD_RATIO * np.maximum(below, above) + 2)
    taken = np.zeros(len(x), dtype=bool)
    for start, stop in found:
        taken[start:stop] = True
    crowds = []
    # The fullest first: overlapping stretches are shifts of one crowd.
    for place in sorted(np.flatnonzero(crowded), key=lambda i: (-runs[i], i)):
        start, stop = int(first[place]), int(last[place])
        if not taken[start:stop].any():
            crowds.append((start, stop))
            taken[start:stop] = True
    return crowds
