"""The choice: of all that could be trained, what shrinks the target's interval most per FLOP.

The criterion is c-optimality (Elfving 1952; Atkinson, Donev and Tobias 2007, Optimum Experimental Designs,
chapter 10) per unit of cost: with M the information on theta that the runs carry, g the target's gradient, a
move adds dM at a price of F FLOPs and is worth

    (log g' M^-1 g - log g' (M + dM)^-1 g) / F,

twice the drop of the log of the interval's half-width, per FLOP. M and dM are those of generalized least
squares with the trunk's share of the noise at its expected value, so that a cell on a trunk that has others
says less than a cell on a new trunk, and costs less. Moves are whole: a new trunk with any subset of its
budgets, or any further budgets of a trunk that is there. They are taken one after the other, each given those
before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.design.space import Pick, Space, Trunk, marks, subsets
from isoflop.analysis.uncertainty.trunk_noise import common

SINGLE = 128
"""Picks after which new trunks are begun two at a time, after as many more four at a time, and so on."""
RIDGE = 1e-9
"""Of the information's largest entries: a direction that no run tells has a finite, huge variance."""


@dataclass(frozen=True)
class Field:
    """What a choice knows: cells that are allowed, slopes of the log loss there, the information so far, the
    target's gradient, and the trunk's share of the noise."""

    space: Space
    allowed_FxB: np.ndarray
    slopes_FxBxP: np.ndarray
    information_PxP: np.ndarray
    gradient_P: np.ndarray
    share: float

    def told(self, family_M: np.ndarray, cells_MxB: np.ndarray) -> np.ndarray:
        """Information of M trunks with these cells, MxPxP, in units of one over the total variance."""
        J_MxBxP = np.where(cells_MxB[..., None], self.slopes_FxBxP[family_M], 0.0)
        sum_MxP = J_MxBxP.sum(axis=1)
        kappa_M = common(self.share, cells_MxB.sum(axis=1))
        shared = kappa_M[:, None, None] * sum_MxP[:, :, None] * sum_MxP[:, None, :]
        return (np.einsum("mbp,mbq->mpq", J_MxBxP, J_MxBxP) - shared) / (1.0 - self.share)

    def variance(self, information: np.ndarray) -> np.ndarray:
        """g' M^-1 g, for each of the matrices."""
        scale_P = np.sqrt(np.maximum(np.diagonal(self.information_PxP), 1e-300))
        scaled = information / scale_P[:, None] / scale_P + RIDGE * np.eye(len(scale_P))
        g_P = self.gradient_P / scale_P
        return np.einsum("p,...p->...", g_P, np.linalg.solve(scaled, g_P[:, None])[..., 0])


def choose(field: Field, trunks: Sequence[Trunk], flops: float, ratio: float = 0.0) -> list[Pick]:
    """Picks, best first, until they cost `flops` or the half-width is expected to be `ratio` times what it
    is.

    At least one is made if any costs no more than `flops`.
    """
    trunks = list(trunks)
    information, picks, spent = field.information_PxP, [], 0.0
    first = float(field.variance(information))
    fresh = _Moves.of_new_trunks(field)
    while True:
        moves = fresh.and_those(_Moves.of_trunks(field, trunks)).within(flops - spent)
        if not len(moves.price_M):
            return picks
        after_M = field.variance(information + moves.told_MxPxP)
        with np.errstate(invalid="ignore"):  # of two infinite variances none is the smaller
            gain_M = np.nan_to_num(float(field.variance(information)) / after_M, nan=1.0, posinf=np.inf)
        worth_M = np.log(gain_M) / moves.price_M
        best = int(np.argmax(worth_M))
        if not worth_M[best] > 0:
            return picks
        trunk, family = int(moves.trunk_M[best]), int(moves.family_M[best])
        price = float(moves.price_M[best])
        times = 1 if trunk >= 0 else int(np.clip((flops - spent) // price, 1, 2 ** (len(picks) // SINGLE)))
        information = information + times * moves.told_MxPxP[best]
        spent += times * price
        shrunk = float(np.sqrt(field.variance(information) / first))
        budgets = tuple(np.flatnonzero(moves.cells_MxB[best]).tolist())
        pick = Pick(family, None if trunk < 0 else trunk, budgets, times * price, shrunk, times)
        picks.append(pick)
        pick.train(trunks)
        if shrunk <= ratio:
            return picks


@dataclass(frozen=True)
class _Moves:
    """M moves: the family, the trunk (-1: a new one), the cells added, the price and the information."""

    family_M: np.ndarray
    trunk_M: np.ndarray
    cells_MxB: np.ndarray
    price_M: np.ndarray
    told_MxPxP: np.ndarray

    @staticmethod
    def of_new_trunks(field: Field) -> _Moves:
        """Every family with every subset of its allowed budgets."""
        family, cells = [], []
        for f, allowed_B in enumerate(field.allowed_FxB):
            added = _subsets_of(allowed_B)
            family.append(np.full(len(added), f))
            cells.append(added)
        family_M, cells_MxB = np.concatenate(family), np.concatenate(cells)
        price_M = field.space.flops(family_M, cells_MxB)
        return _Moves(
            family_M, np.full(len(family_M), -1), cells_MxB, price_M, field.told(family_M, cells_MxB)
        )

    @staticmethod
    def of_trunks(field: Field, trunks: Sequence[Trunk]) -> _Moves:
        """Every trunk that can go on, one of each kind, with every subset of what is allowed and not
        tried."""
        B = len(field.space.budget_B)
        kinds = {(t.family, t.done, t.tried): k for k, t in reversed([*enumerate(trunks)]) if t.open}
        family, trunk, cells, done, tried = [], [], [], [], []
        for (f, has, had), k in sorted(kinds.items()):
            done_B, tried_B = marks(has, B), marks(had, B)
            added = _subsets_of(field.allowed_FxB[f] & ~tried_B)
            family.append(np.full(len(added), f))
            trunk.append(np.full(len(added), k))
            cells.append(added)
            done.append(np.broadcast_to(done_B, added.shape))
            tried.append(np.broadcast_to(tried_B, added.shape))
        if not family:
            return _Moves.none(field)
        family_M, cells_MxB = np.concatenate(family), np.concatenate(cells)
        done_MxB, tried_MxB = np.concatenate(done), np.concatenate(tried)
        flops, told = field.space.flops, field.told
        return _Moves(
            family_M,
            np.concatenate(trunk),
            cells_MxB,
            flops(family_M, cells_MxB | tried_MxB) - flops(family_M, tried_MxB),
            told(family_M, cells_MxB | done_MxB) - told(family_M, done_MxB),
        )

    @staticmethod
    def none(field: Field) -> _Moves:
        """No move."""
        B, P = len(field.space.budget_B), len(field.gradient_P)
        empty = np.zeros(0, dtype=int)
        return _Moves(empty, empty, np.zeros((0, B), dtype=bool), np.zeros(0), np.zeros((0, P, P)))

    def and_those(self, others: _Moves) -> _Moves:
        """Both."""
        pairs = ((getattr(self, f.name), getattr(others, f.name)) for f in dataclasses.fields(self))
        return _Moves(*(np.concatenate(pair) for pair in pairs))

    def within(self, flops: float) -> _Moves:
        """Those that cost no more."""
        keep = self.price_M <= flops
        return _Moves(*(getattr(self, f.name)[keep] for f in dataclasses.fields(self)))


def _subsets_of(allowed_B: np.ndarray) -> np.ndarray:
    at = np.flatnonzero(allowed_B)
    found = np.zeros((len(subsets(len(at))) if len(at) else 0, len(allowed_B)), dtype=bool)
    if len(at):
        found[:, at] = subsets(len(at))
    return found
