"""The cells that could be trained, and their price: a trunk is paid once, up to where its last branch
leaves."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from isoflop.analysis.compute import PerToken

MOST_WITH_ALL_SUBSETS = 8
"""Budgets of one family among which every subset is weighed: 255 of them, and twice as many a budget more."""


@dataclass(frozen=True)
class Space:
    """F families of cells by B budgets. A family's cells can share a trunk: one size, one recipe.

    Where no trunks are shared `trunk_FxB` is zero and a branch is the whole run.
    """

    N_F: np.ndarray
    """Parameters."""
    budget_B: np.ndarray
    """FLOPs, ascending."""
    D_FxB: np.ndarray
    """Tokens."""
    trunk_FxB: np.ndarray
    """FLOPs from initialization to where the cell's own branch leaves."""
    branch_FxB: np.ndarray
    """FLOPs of the branch."""
    possible_FxB: np.ndarray
    """Whether such a cell can be trained at all."""
    cost: PerToken
    """Training FLOPs per token at a size."""

    def flops(self, family_M: np.ndarray, cells_MxB: np.ndarray) -> np.ndarray:
        """Price of M trunks with the cells marked True on each."""
        # A trunk is trained once, up to where the last of its branches leaves; each branch is paid by itself.
        trunk_M = np.where(cells_MxB, self.trunk_FxB[family_M], 0.0).max(axis=1, initial=0.0)
        return trunk_M + np.where(cells_MxB, self.branch_FxB[family_M], 0.0).sum(axis=1)


@dataclass(frozen=True)
class Trunk:
    """One trunk, begun: its family, the budgets at which it has a loss, and those at which one was tried."""

    family: int
    done: tuple[int, ...]
    tried: tuple[int, ...]
    open: bool = True
    """Whether it can be trained further; not if it diverged or failed."""


@dataclass(frozen=True)
class Pick:
    """One move: cells that are added to one trunk, or to several new ones."""

    family: int
    trunk: int | None
    """Position of the trunk that it goes on with (those begun by earlier picks count on); None: a new one."""
    budgets: tuple[int, ...]
    """Positions of the budgets at which it adds a cell."""
    flops: float
    ratio: float = float("nan")
    """Half-width expected after it, over that before all picks; NaN where no law says."""
    times: int = 1
    """How many such new trunks."""
    why: str = ""

    def train(self, trunks: list[Trunk]) -> None:
        """Bring a list of trunks up to date, as if the pick had been trained."""
        if self.trunk is None:
            trunks += [Trunk(self.family, self.budgets, self.budgets)] * self.times
            return
        old = trunks[self.trunk]
        done, tried = (tuple(sorted({*x, *self.budgets})) for x in (old.done, old.tried))
        trunks[self.trunk] = replace(old, done=done, tried=tried)


@functools.cache
def subsets(count: int) -> np.ndarray:
    """Every non-empty subset of `count` things, (2^count - 1) x count booleans.

    Of more than `MOST_WITH_ALL_SUBSETS` things only those that run without a gap from one to another.
    """
    if count <= MOST_WITH_ALL_SUBSETS:
        return (np.arange(1, 2**count)[:, None] >> np.arange(count)) % 2 == 1
    low, high = np.triu_indices(count)
    at = np.arange(count)
    return (at >= low[:, None]) & (at <= high[:, None])


def marks(at: Iterable[int], count: int) -> np.ndarray:
    """Booleans, True at the positions `at`."""
    found = np.zeros(count, dtype=bool)
    found[list(at)] = True
    return found


def tried_cells(trunks: Sequence[Trunk], budgets: int) -> tuple[np.ndarray, np.ndarray]:
    """Family of each of M trunks and the cells tried on it, MxB: what `Space.flops` prices."""
    cells_MxB = np.array([marks(t.tried, budgets) for t in trunks], dtype=bool).reshape(len(trunks), budgets)
    return np.array([t.family for t in trunks], dtype=int), cells_MxB
