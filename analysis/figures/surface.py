"""The fitted surface L(N, D): contours, the efficient frontier across them, and where the runs were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, mark_runs
from isoflop.analysis.figures.style import ACCENT, EQUAL, INK, log_axis, loss_colours, spread
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.base.formatting import short

if TYPE_CHECKING:
    from isoflop.analysis.result import LawFit
    from isoflop.analysis.run_table import RunTable

POINTS = 60


@dataclass(frozen=True)
class Surface(FigureData):
    """Loss over sizes N_X and tokens D_Y, the frontier in N and D (2xK), and tokens of equal compute over
    N_X, an array a budget.
    """

    title = "The fitted surface"
    table: RunTable
    N_X: np.ndarray
    D_Y: np.ndarray
    loss_YxX: np.ndarray
    frontier_2xK: np.ndarray
    equal_X: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, table: RunTable, fit: LawFit) -> Surface:
        """Make it from a table and approach 3's fit of it."""
        x = np.geomspace(*spread(table.N_R, 0.12), num=POINTS)
        y = np.geomspace(*spread(table.D_R, 0.12), num=POINTS)
        low, high = fit.conventions.flops_range
        frontier = np.stack(fit.allocate(np.geomspace(low / 20, high * 20, 60)))
        frontier = frontier[:, np.isfinite(frontier).all(axis=0)]
        equal = tuple(group.flops / fit.cost(x) for group in isoflop_groups(table))
        loss = fit.predict(x[None, :], y[:, None])
        return cls(table, x, y, loss, frontier, equal)

    @property
    def size(self) -> Size:
        return Size(height=5.2, narrow_height=3.9)

    @property
    def caption(self) -> str:
        found, notes = self.frontier_2xK.size > 0, self.table.conventions
        frontier = " Red: the efficient frontier, the lowest loss at each compute." if found else ""
        colours, equal = (
            (" in their budget's colour", " Dotted grey: lines of equal compute.")
            if self.equal_X
            else ("", "")
        )
        return (
            f"Contours of the fitted {notes.quantity} ({notes.unit}) over size and data, runs as "
            f"dots{colours}.{frontier}{equal}"
        )

    @property
    def description(self) -> str:
        known = self.frontier_2xK[:, np.searchsorted(self.frontier_2xK[0], np.median(self.table.N_R)) :]
        frontier = ""
        if known.size:
            frontier = f" The frontier passes {short(known[0, 0])} parameters at {short(known[1, 0])} tokens."
        return (
            "Fitted loss over parameters and tokens, falling towards more of both: from "
            f"{self.loss_YxX.max():.2f} at {short(self.N_X[0])} parameters and {short(self.D_Y[0])} tokens "
            f"to {self.loss_YxX.min():.2f} at {short(self.N_X[-1])} and {short(self.D_Y[-1])}.{frontier}"
        )

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        ax.grid(visible=False)
        levels, step = self._levels()
        bounds = [self.loss_YxX.min() - step, *levels, self.loss_YxX.max() + step]
        ax.contourf(self.N_X, self.D_Y, self.loss_YxX, levels=bounds, cmap=loss_colours())
        lines = ax.contour(
            self.N_X, self.D_Y, self.loss_YxX, levels=levels, colors=INK, linewidths=0.5, alpha=0.5
        )
        # The axes must be logarithmic before the labels are placed along the lines.
        log_axis(ax, "x", self.N_X[0], self.N_X[-1], "Parameters N")
        log_axis(ax, "y", self.D_Y[0], self.D_Y[-1], "Training tokens D")
        ax.clabel(lines, levels[::2], fmt="%.4g", fontsize=8, colors=INK)
        for D_X in self.equal_X:
            ax.plot(self.N_X, D_X, ls=":", lw=1.0, color=EQUAL, label="_equal compute")
        if self.frontier_2xK.size:
            ax.plot(*self.frontier_2xK, color=ACCENT, lw=2.0, label="efficient frontier")
        return mark_runs(ax, self.table, self.table.N_R, self.table.D_R)

    def _levels(self) -> tuple[np.ndarray, float]:
        """About a dozen round contours over most of the surface, and their spacing."""
        low, high = np.quantile(self.loss_YxX, [0.02, 0.97])
        raw = float(high - low) / 12 or 0.01
        scale = 10.0 ** np.floor(np.log10(raw))
        step = float(scale * min((1, 2, 2.5, 5, 10), key=lambda m: abs(m - raw / scale)))
        first = round(float(np.ceil(low / step) * step), 6)
        return np.arange(first, float(high) + step / 2, step), step
