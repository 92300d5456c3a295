"""How far the runs of a budget scatter about a smooth curve, and draws of that scatter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.isoflops.groups import IsoflopGroup
from isoflop.analysis.isoflops.minima import quadratic
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.uncertainty.resampling import trunk_noise, trunks_of

SIZES_NEAR_MINIMUM = 6
"""Sizes around a budget's best run whose scatter counts. Over a wider range no polynomial follows the losses,
and its lack of fit would pass for noise."""
DEGREES = (2, 4)
"""Least and greatest degree of the polynomial in log N through those sizes; three fewer than the sizes."""


@dataclass(frozen=True)
class CurveNoise:
    """Losses of the G runs that stand in groups, as smooth curves and a scatter of the log loss about them.

    The scatter is pooled over budgets: a curve of five runs cannot lose some of them, as it would if runs
    were resampled.
    """

    rows_G: np.ndarray
    """Positions in the table, group after group."""
    smooth_G: np.ndarray
    """Losses that the noise is added to, nats per token."""
    residual_S: np.ndarray
    """Residuals of log loss of the runs whose scatter counts."""
    trunk_G: np.ndarray | None
    """The trunk's number; None where every run stands alone. With trunks every run counts, S = G."""
    parameters: int
    """Coefficients behind the residuals, all budgets together."""

    @property
    def freedom(self) -> int:
        """Residual degrees of freedom; with none the scatter is unknown."""
        return len(self.residual_S) - self.parameters

    @property
    def sd(self) -> float:
        """Standard deviation of the log loss about the curves, over the degrees of freedom."""
        return float(np.sqrt((self.residual_S**2).sum() / max(self.freedom, 1)))

    @property
    def description(self) -> str:
        """What is resampled, in words."""
        text = "residuals about a smooth curve in each budget"
        if self.trunk_G is None:
            return text
        return f"{text}, with an effect of each of {len(np.unique(self.trunk_G))} shared trunks"

    def draw(self, B: int, rng: np.random.Generator) -> np.ndarray:
        """B draws of noise of the log loss, BxG, inflated for the coefficients that were fitted."""
        if self.trunk_G is not None:
            return trunk_noise(self.residual_S, self.trunk_G, self.parameters, B, rng)
        inflate = np.sqrt(len(self.residual_S) / max(self.freedom, 1))
        return inflate * rng.choice(self.residual_S, size=(B, len(self.rows_G)))


def curve_noise(table: RunTable, groups: list[IsoflopGroup], curve: str) -> CurveNoise:
    """The groups' scatter, and smooth losses to add it to.

    Those are the parabolas themselves where `curve` is "parabola". An interpolant passes through every run
    and the best run has no curve: there they are the polynomials near the minimum, and the runs further off.
    """
    trunks_R = trunks_of(table)
    smooth, residual, parameters = [], [], 0
    for group in groups:
        x, loss = np.log(table.N_R[group.rows]), table.loss_R[group.rows]
        # Least squares of the raw loss, as the parabola's; its residuals are taken in logs, where the scatter
        # of cheap and of dear budgets is alike and can be pooled.
        near, basis = _polynomial(x, loss, trunks_R is not None)
        local = basis @ (np.linalg.pinv(basis) @ loss[near])
        local = np.maximum(local, 0.5 * loss[near])  # a wild polynomial may dip below zero
        residual.append(np.log(loss[near]) - np.log(local))
        parameters += basis.shape[1]
        smoothed = loss.copy()
        smoothed[near] = local
        if curve == "parabola":
            x0, coefficients = quadratic(table.N_R[group.rows], loss[None])
            smoothed = np.vander(x - x0, 3, increasing=True) @ coefficients[0]
        smooth.append(smoothed)
    rows_G = np.concatenate([group.rows for group in groups])
    trunk_G = None if trunks_R is None else np.unique(trunks_R[rows_G], return_inverse=True)[1]
    return CurveNoise(rows_G, np.concatenate(smooth), np.concatenate(residual), trunk_G, parameters)


def _polynomial(x: np.ndarray, loss: np.ndarray, every: bool) -> tuple[np.ndarray, np.ndarray]:
    """(near, basis): positions of the runs of the sizes nearest to the best, or of all; powers of log N
    there.
    """
    sizes = np.unique(x)
    if not every and len(sizes) > SIZES_NEAR_MINIMUM:
        best = x[np.argmin(loss)]
        sizes = sizes[np.argsort(np.abs(sizes - best), kind="stable")[:SIZES_NEAR_MINIMUM]]
    near = np.flatnonzero(np.isin(x, sizes))
    # Three fewer than the sizes: two degrees of freedom are left to see the scatter by, from five sizes on.
    degree = int(np.clip(len(sizes) - 3, *DEGREES))
    # To the order of one: powers of log N itself would be nearly collinear.
    scaled = (x[near] - sizes.mean()) / np.ptp(sizes)
    return near, np.vander(scaled, degree + 1, increasing=True)
