"""The choice: of all that could be trained, what shrinks the target's interval most per FLOP.

The criterion is c-optimality (Elfving 1952; Atkinson, Donev and Tobias 2007, Optimum Experimental Designs,
chapter 10) per unit of cost: with M the information on theta that the runs carry, g the target's gradient, a
move adds dM at a price of F FLOPs and gains

    (log g' M^-1 g - log g' (M + dM)^-1 g) / F,

twice the drop of the log of the interval's half-width, per FLOP. M and dM are those of generalized least
squares with the trunk's share of the noise at its expected value, so that a cell on a trunk that has others
says less than a cell on a new trunk, and costs less. Moves are whole: a new trunk with any subset of its
budgets, or any further budgets of a trunk that is there. They are taken one after the other, each given those
before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from isoflop.analysis.design.estimate import Estimate
from isoflop.analysis.design.space import Pick, Space, Trunk, marks, subsets
from isoflop.analysis.uncertainty.trunk_noise import common

NEW_TRUNK = -1
"""Position that stands for a trunk yet to begin."""
SINGLE_PICKS = 128
"""Picks after which new trunks are begun two at a time, after as many more four at a time, and so on: the
greedy choice of thousands of equal seeds would take minutes."""
UNSEEN_INFORMATION = 1e-9
"""Added to the scaled information's diagonal: a direction of which the runs say nothing has a finite, huge
variance."""


@dataclass(frozen=True)
class Criterion:
    """The variance of the target under the information so far, and what further cells would add to it."""

    space: Space
    allowed_FxB: np.ndarray
    slopes_FxBxP: np.ndarray
    """Derivative of the log loss in theta at every cell."""
    information_PxP: np.ndarray
    """What the runs say so far."""
    gradient_P: np.ndarray
    """Derivative of the target in theta."""
    share: float
    """The trunk's share of the noise's variance."""

    @classmethod
    def of_estimate(cls, known: Estimate, space: Space, allowed_FxB: np.ndarray) -> Criterion:
        """The criterion at an estimate of the target."""
        slopes_FxBxP = known.slopes_over(space)
        return cls(space, allowed_FxB, slopes_FxBxP, known.information, known.gradient_P, known.noise.share)

    def information(self, family_M: np.ndarray, cells_MxB: np.ndarray) -> np.ndarray:
        """Information of M trunks with these cells, MxPxP, in units of one over the total variance."""
        J_MxBxP = np.where(cells_MxB[..., None], self.slopes_FxBxP[family_M], 0.0)
        # Within a trunk of n cells the covariance's inverse is (I - kappa J) / (1 - share), J all ones: the
        # second term takes off what the cells repeat of each other.
        sum_MxP = J_MxBxP.sum(axis=1)
        kappa_M = common(self.share, cells_MxB.sum(axis=1))
        shared = kappa_M[:, None, None] * sum_MxP[:, :, None] * sum_MxP[:, None, :]
        return (np.einsum("mbp,mbq->mpq", J_MxBxP, J_MxBxP) - shared) / (1.0 - self.share)

    def variance(self, information: np.ndarray) -> np.ndarray:
        """g' M^-1 g, for each of the matrices.

        Solved in units in which the present information has ones on its diagonal: the amplitudes' slopes are
        orders of magnitude smaller than the exponents'.
        """
        scale_P = np.sqrt(np.maximum(np.diagonal(self.information_PxP), 1e-300))
        scaled = information / scale_P[:, None] / scale_P + UNSEEN_INFORMATION * np.eye(len(scale_P))
        g_P = self.gradient_P / scale_P
        return np.einsum("p,...p->...", g_P, np.linalg.solve(scaled, g_P[:, None])[..., 0])

    def after(self, trunks: Sequence[Trunk], picks: Sequence[Pick]) -> tuple[list[Pick], np.ndarray]:
        """The picks with the ratio that each is expected to reach, and the information after all of them."""
        information, expected, now = self.information_PxP, [], list(trunks)
        # What a pick adds is a difference: its cells repeat part of what its trunk's other cells say.
        before, B = float(self.variance(information)), len(self.space.budget_B)
        for pick in picks:
            done = () if pick.trunk is None else now[pick.trunk].done
            cells_2xB = np.stack([marks(done, B), marks({*done, *pick.budgets}, B)])
            without, with_it = self.information(np.full(2, pick.family), cells_2xB)
            information = information + pick.times * (with_it - without)
            expected.append(replace(pick, ratio=math.sqrt(float(self.variance(information)) / before)))
            pick.train(now)
        return expected, information


def choose(
    criterion: Criterion,
    trunks: Sequence[Trunk],
    flops: float,
    ratio: float = 0.0,
    earlier: Sequence[Pick] = (),
) -> list[Pick]:
    """Picks, best first, until they cost `flops` or the half-width is expected to be `ratio` times what it
    is.

    At least one is made if any costs no more than `flops`. `earlier`: picks that are made already, before
    which the half-width is what it is.
    """
    trunks, picks, spent = list(trunks), [], 0.0
    before = float(criterion.variance(criterion.information_PxP))
    _, information = criterion.after(trunks, earlier)
    for pick in earlier:
        pick.train(trunks)
    families = range(len(criterion.space.N_F))
    # Moves of new trunks never change; those of trunks that are there do, with every pick. Of equal trunks
    # the first stands for all: `reversed`, since a later key overwrites.
    fresh = _moves(criterion, {Trunk(f, (), ()): NEW_TRUNK for f in families})
    while True:
        going = {t: k for k, t in reversed([*enumerate(trunks)]) if t.open}
        moves = [np.concatenate(pair) for pair in zip(fresh, _moves(criterion, going), strict=True)]
        affordable = moves[3] <= flops - spent
        trunk_M, family_M, cells_MxB, price_M, added_MxPxP = (x[affordable] for x in moves)
        if not len(price_M):
            return picks
        with np.errstate(invalid="ignore"):  # of two infinite variances none is the smaller
            shrink_M = float(criterion.variance(information)) / criterion.variance(information + added_MxPxP)
        # From infinite to finite variance is an infinite gain: such a move comes first whatever its price.
        gain_M = np.log(np.nan_to_num(shrink_M, nan=1.0, posinf=np.inf)) / price_M
        best = int(np.argmax(gain_M))
        if not gain_M[best] > 0:
            return picks
        trunk, price = int(trunk_M[best]), float(price_M[best])
        times = 1
        if trunk == NEW_TRUNK:
            times = int(np.clip((flops - spent) // price, 1, 2 ** (len(picks) // SINGLE_PICKS)))
        information = information + times * added_MxPxP[best]
        spent += times * price
        shrunk = float(np.sqrt(criterion.variance(information) / before))
        budgets = tuple(np.flatnonzero(cells_MxB[best]).tolist())
        place = None if trunk == NEW_TRUNK else trunk
        picks.append(Pick(int(family_M[best]), place, budgets, times * price, shrunk, times))
        picks[-1].train(trunks)
        if shrunk <= ratio:
            return picks


def _moves(criterion: Criterion, kinds: dict[Trunk, int]) -> tuple[np.ndarray, ...]:
    """Every subset of the allowed cells that a trunk has not tried, for trunks of different kinds.

    `kinds`: a trunk of each kind and its position. Returns M moves: the trunk's position and family, the
    cells added (MxB), the price and the information that is added (MxPxP).
    """
    space, B = criterion.space, len(criterion.space.budget_B)
    ordered = sorted(kinds, key=lambda t: (t.family, t.done, t.tried))
    added = [_subsets_of(criterion.allowed_FxB[t.family] & ~marks(t.tried, B)) for t in ordered]

    def repeated(rows: Iterable, shape: tuple[int, ...], kind: type) -> np.ndarray:
        return np.repeat(np.array([*rows], dtype=kind).reshape(shape), [len(x) for x in added], axis=0)

    family_M = repeated((t.family for t in ordered), (-1,), int)
    trunk_M = repeated((kinds[t] for t in ordered), (-1,), int)
    done_MxB = repeated((marks(t.done, B) for t in ordered), (-1, B), bool)
    tried_MxB = repeated((marks(t.tried, B) for t in ordered), (-1, B), bool)
    cells_MxB = np.concatenate([np.zeros((0, B), dtype=bool), *added])
    price_M = space.flops(family_M, cells_MxB | tried_MxB) - space.flops(family_M, tried_MxB)
    # A cell that was tried and failed has been paid for, and says nothing.
    before, after = (criterion.information(family_M, x) for x in (done_MxB, cells_MxB | done_MxB))
    return trunk_M, family_M, cells_MxB, price_M, after - before


def _subsets_of(allowed_B: np.ndarray) -> np.ndarray:
    """Every non-empty subset of the allowed positions, as booleans over all positions."""
    at = np.flatnonzero(allowed_B)
    every = subsets(len(at)) if len(at) else np.zeros((0, 0), dtype=bool)
    found = np.zeros((len(every), len(allowed_B)), dtype=bool)
    found[:, at] = every
    return found
