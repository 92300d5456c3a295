"""The cells that could be trained, and their price: a trunk is paid once, up to where its last branch
leaves."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

MOST = 8
"""Budgets of one family among which every subset is weighed; 2^8 of them."""


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

    def flops(self, family_M: np.ndarray, cells_MxB: np.ndarray) -> np.ndarray:
        """Price of M trunks with the cells marked True on each."""
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
    """One move: `trunk` the position of the trunk it goes on with (those begun by earlier picks count on),
    None to begin a new one; `budgets` at which it adds a cell; what it costs, and the half-width expected
    after it over that before all picks (NaN where no law says)."""

    family: int
    trunk: int | None
    budgets: tuple[int, ...]
    flops: float
    ratio: float = float("nan")
    times: int = 1

    def train(self, trunks: list[Trunk]) -> None:
        """Brings a list of trunks up to date, as if it had been trained."""
        if self.trunk is None:
            trunks += [Trunk(self.family, self.budgets, self.budgets)] * self.times
            return
        old = trunks[self.trunk]
        done, tried = (tuple(sorted({*x, *self.budgets})) for x in (old.done, old.tried))
        trunks[self.trunk] = replace(old, done=done, tried=tried)


@functools.cache
def subsets(count: int) -> np.ndarray:
    """Every non-empty subset of `count` things, (2^count - 1) x count booleans; of more than `MOST` the
    single ones, all, and those that run from one to another."""
    if count <= MOST:
        return (np.arange(1, 2**count)[:, None] >> np.arange(count)) % 2 == 1
    low, high = np.triu_indices(count)
    at = np.arange(count)
    return (at >= low[:, None]) & (at <= high[:, None])


def marks(at: tuple[int, ...], count: int) -> np.ndarray:
    """Booleans, True at the positions `at`."""
    found = np.zeros(count, dtype=bool)
    found[list(at)] = True
    return found
