"""A loss curve: the learning rate of every step of a run, and its loss at some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from isoflop.base.errors import UserError

FEWEST_ROWS = 4
"""Rows with a loss that a curve has at least."""
NARROW = 0.04
"""Widest bin of a thinned curve, as a share of its step: the curve is steep at its beginning."""
JUMP = 0.02
"""Change of the rate within one step, as a share of the peak, that no bin reaches across."""
FEWEST_SHARED = 3
"""Rows that two curves have in common from the first before they count as one run's."""


@dataclass(frozen=True, eq=False)
class LossCurve:
    """A run's learning rates and losses.

    `rates_T`: the rate of steps 0 to T - 1; `steps_R`, ascending, and `loss_R`: the rows with a loss, R of
    them, the last step below T.
    """

    name: str
    rates_T: np.ndarray
    steps_R: np.ndarray
    loss_R: np.ndarray

    @property
    def peak(self) -> float:
        """The largest rate."""
        return float(self.rates_T.max())

    @property
    def warm(self) -> int:
        """The first step from which the rate does not rise: the end of the warm-up."""
        still = np.flatnonzero(np.diff(self.rates_T) <= 0)
        return int(still[0]) if still.size else len(self.rates_T) - 1

    def at(self, rows: np.ndarray) -> LossCurve:
        """The curve with these rows alone, its schedule whole."""
        return replace(self, steps_R=self.steps_R[rows], loss_R=self.loss_R[rows])

    def since(self, step: int) -> LossCurve:
        """The curve without the rows before a step. Raises `UserError` where fewer than four are left."""
        kept = self.steps_R >= step
        if kept.sum() < FEWEST_ROWS:
            raise UserError(
                f"{self.name} has {int(kept.sum())} rows with a loss from step {step} on: a curve takes "
                f"{FEWEST_ROWS}; lower --from-step, or leave the curve out"
            )
        return self.at(kept)

    def thinned(self, points: int) -> LossCurve:
        """The curve in about so many bins, as means of step and loss; as it is if it has no more rows.

        Bins are of equal width but for the beginning, where they are narrower; none reaches across a jump.
        """
        if len(self.steps_R) <= points:
            return self
        first, last = int(self.steps_R[0]), int(self.steps_R[-1])
        widest = (last - first) / points
        edges = [first + 1.0]
        while edges[-1] <= last:
            edges.append(edges[-1] + max(1.0, min(widest, NARROW * edges[-1])))
        jumps = np.flatnonzero(np.abs(np.diff(self.rates_T)) > JUMP * self.peak) + 1
        bins_R = np.digitize(self.steps_R, np.unique(np.concatenate([edges, jumps])))
        _, bins_R, count = np.unique(bins_R, return_inverse=True, return_counts=True)
        steps = np.rint(np.bincount(bins_R, self.steps_R) / count).astype(int)
        return replace(self, steps_R=steps, loss_R=np.bincount(bins_R, self.loss_R) / count)


@dataclass(frozen=True)
class Shared:
    """Rows of a curve that an earlier one has too: how many, and the step of the last."""

    rows: int
    until: int


def without_repeats(curves: Sequence[LossCurve]) -> tuple[list[LossCurve], dict[str, Shared]]:
    """The curves without rows that an earlier one has too, and what each loses, by name.

    Runs that branch off a common trunk repeat its rows, which are one measurement. Rows are the same where
    two curves agree in step, rate and loss from their first common step on. A curve of such rows alone is
    left out.
    """
    kept: list[LossCurve] = []
    shared: dict[str, Shared] = {}
    for c, curve in enumerate(curves):
        count = max((_shared_rows(curve, other) for other in curves[:c]), default=0)
        if count:
            shared[curve.name] = Shared(count, int(curve.steps_R[count - 1]))
        if count < len(curve.steps_R):
            kept.append(curve.at(np.arange(count, len(curve.steps_R))))
    return kept, shared


def _shared_rows(curve: LossCurve, other: LossCurve) -> int:
    """Rows that a curve begins with and another has, too, up to the last of them."""
    _, mine, theirs = np.intersect1d(curve.steps_R, other.steps_R, return_indices=True)
    rates = np.isclose(
        curve.rates_T[curve.steps_R[mine]], other.rates_T[other.steps_R[theirs]], rtol=1e-6, atol=0
    )
    alike = rates & (curve.loss_R[mine] == other.loss_R[theirs])
    count = len(alike) if alike.all() else int(np.argmin(alike))
    return int(mine[count - 1]) + 1 if count >= FEWEST_SHARED else 0
