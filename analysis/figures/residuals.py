"""What the law does not explain: relative residuals against size, tokens per parameter, and their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, mark_runs
from isoflop.analysis.figures.style import INK, NEUTRAL, log_axis, spread

if TYPE_CHECKING:
    from isoflop.analysis.result import LawFit
    from isoflop.analysis.run_table import RunTable


@dataclass(frozen=True)
class Residuals(FigureData):
    """Each run's loss over the fitted one, less 1, percent; `band`: two standard deviations of them."""

    title = "Residuals of the fitted surface"
    table: RunTable
    fit: LawFit
    percent_R: np.ndarray
    band: float

    @classmethod
    def of(cls, table: RunTable, fit: LawFit) -> Residuals:
        """Make it from a table and approach 3's fit of it."""
        percent_R = 100 * (table.loss_R / fit.predict(table.N_R, table.D_R) - 1)
        band = 200 * fit.conventions.residual_log_sd
        return cls(table, fit, percent_R, band)

    @property
    def size(self) -> Size:
        return Size(panels=2, width=9.0, height=3.5, narrow_height=2.8)

    @property
    def caption(self) -> str:
        notes, seeds = self.fit.conventions, ""
        if notes.seed_sd_nats is not None:
            seeds = (
                f"; seeds alone differ by {notes.seed_sd_nats:.4f}{notes.short_unit} (pooled over "
                f"{notes.seed_groups} repeated cells)"
            )
        return (
            "Each run's loss relative to the surface, against size (first) and tokens per parameter "
            f"(second). Shaded: two standard deviations of the residuals, ±{self.band:.2f}%{seeds}."
            f"{self._verdict}"
        )

    @property
    def _verdict(self) -> str:
        """What the lack-of-fit test makes of them; empty without one."""
        found = self.fit.misfit
        if found is None:
            return ""
        what = "a pattern" if found.rejected else "no pattern"
        return f" The lack-of-fit test finds {what} that chance does not explain ({found.probability})."

    @property
    def description(self) -> str:
        return (
            f"Residuals of {len(self.percent_R)} runs, from {self.percent_R.min():+.2f}% to "
            f"{self.percent_R.max():+.2f}%, {np.sum(np.abs(self.percent_R) <= self.band)} of them within "
            f"±{self.band:.2f}%.{self._verdict}"
        )

    def draw(self, axes: Sequence[Axes]) -> Hover:
        hover: Hover = []
        notes = [f"{percent:+.2f}% off the fit" for percent in self.percent_R]
        across = {
            "Parameters N": self.table.N_R,
            "Tokens per parameter D/N": self.table.D_R / self.table.N_R,
        }
        for ax, (label, x_R) in zip(axes, across.items(), strict=True):
            ax.axhspan(-self.band, self.band, color=NEUTRAL, alpha=0.15, lw=0)
            ax.axhline(0, color=INK, lw=1, label="_zero")
            hover += mark_runs(ax, self.table, x_R, self.percent_R, notes)
            log_axis(ax, "x", *spread(x_R), label)
            ax.set_ylabel("Measured / fitted − 1 (%)")
        return hover
