"""A table's runs as places in a space of cells: what could be trained beside them, and what has been."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from isoflop.analysis.compute import PerToken
from isoflop.analysis.design.space import Space, Trunk
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.uncertainty.resampling import trunks_of

DECAY = 0.2
"""Share of a run's tokens that its own branch takes where trunks are shared: the usual schedule's decay."""
MOST_BUDGETS, MOST_SIZES = 8, 24
"""Of a table with more, every n-th is taken: the choice among all subsets stays a matter of seconds."""
BUDGETS, SIZES = 5, 12
"""Where a table has no budgets, or too many sizes, so many are laid between the least and the largest, evenly
in logs."""
SIZES_BEYOND = 2
"""Sizes beyond either end of the table's that are offered."""
AT_PLACE = 0.02
"""Relative distance within which a run is at a size or a budget."""


def space_of(table: RunTable, cost: PerToken) -> Space:
    """The table's sizes and two beyond either end, at its budgets; without trunks a family is one cell."""
    shared = trunks_of(table) is not None
    budget_B = _few(_budgets(table) or None, table.C_R, MOST_BUDGETS, BUDGETS)
    sizes = np.unique(table.N_R)
    N_S = _few(sizes.tolist() if len(sizes) <= MOST_SIZES else None, table.N_R, MOST_SIZES, SIZES)
    step = max((N_S[-1] / N_S[0]) ** (1 / max(len(N_S) - 1, 1)), 1.2)
    more = step ** np.arange(1, SIZES_BEYOND + 1)
    N_S = np.concatenate([N_S[0] / more[::-1], N_S, N_S[-1] * more])
    S, B = len(N_S), len(budget_B)
    D_SxB = budget_B / cost(N_S)[:, None]
    flops_SxB = np.broadcast_to(budget_B, (S, B))
    # Where nothing is shared the branch is the whole run.
    decay = DECAY if shared else 1.0
    possible_SxB = (D_SxB >= 1) & (N_S[:, None] >= 1)
    found = Space(N_S, budget_B, D_SxB, (1 - decay) * flops_SxB, decay * flops_SxB, possible_SxB, cost)
    if shared:
        return found
    # Without trunks every cell is a family of its own, S times B of them with one possible budget each: no
    # two then share a price or a noise.
    at = np.repeat(np.arange(S), B)
    alone = np.tile(np.eye(B, dtype=bool), (S, 1))
    by_family = ("N_F", "D_FxB", "trunk_FxB", "branch_FxB", "possible_FxB")
    rows = {name: getattr(found, name)[at] for name in by_family}
    return dataclasses.replace(found, **rows | {"possible_FxB": rows["possible_FxB"] & alone})


def _budgets(table: RunTable) -> list[float]:
    """The nominal budgets of the table's IsoFLOP groups, or what their runs cost."""
    budget_R = table.budget_R
    groups = isoflop_groups(table)
    return [g.flops if budget_R is None else float(np.median(budget_R[g.rows])) for g in groups]


def _few(values: list[float] | None, x_R: np.ndarray, most: int, levels: int) -> np.ndarray:
    """The values if they are not too many, every n-th if they are; without any, levels over the runs'
    range."""
    if values is None:
        low, high = float(x_R.min()), float(x_R.max())
        return np.geomspace(low, max(high, 1.01 * low), levels)
    keep = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    return np.array(values)[keep]


def placed(table: RunTable, space: Space) -> tuple[list[Trunk], list[str], np.ndarray]:
    """The trunks that can go on with their names, and the mean losses by place, FxB, NaN where there is
    none."""
    F, B = space.D_FxB.shape
    trunk_R, column = trunks_of(table), table.column("trunk_id")
    losses: dict[tuple[int, int], list[float]] = {}
    done: dict[int, tuple[int, set[int]]] = {}
    for r, place in enumerate(_places(table, space)):
        if place is None:
            continue
        losses.setdefault(place, []).append(float(table.loss_R[r]))
        if trunk_R is not None:
            done.setdefault(int(trunk_R[r]), (place[0], set()))[1].add(place[1])
    loss_FxB = np.full((F, B), np.nan)
    for place, values in losses.items():
        loss_FxB[place] = float(np.exp(np.mean(np.log(values))))
    trunks = [Trunk(f, tuple(sorted(at)), tuple(sorted(at))) for f, at in done.values()]
    names = [] if column is None else [str(column[int(np.argmax(trunk_R == t))]) for t in done]
    return trunks, names, loss_FxB


def _places(table: RunTable, space: Space) -> list[tuple[int, int] | None]:
    """The family and budget that each run is at; None for one that is at none."""
    budget_R = table.C_R if table.budget_R is None else np.where(
        np.isfinite(table.budget_R), table.budget_R, table.C_R
    )  # fmt: skip
    found: list[tuple[int, int] | None] = []
    for n, c in zip(table.N_R, budget_R, strict=True):
        b = int(np.argmin(np.abs(np.log(space.budget_B / c))))
        away_F = np.where(space.possible_FxB[:, b], np.abs(np.log(space.N_F / n)), np.inf)
        f = int(np.argmin(away_F))
        near = away_F[f] <= AT_PLACE and abs(math.log(space.budget_B[b] / c)) <= AT_PLACE
        found.append((f, b) if near else None)
    return found
