"""Rolling hold-outs: errors and coverage against the distance of what is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, marks
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, log_axis
from isoflop.analysis.rolling_scores import LEAST_COVERAGE, percent
from isoflop.base.formatting import power, short

if TYPE_CHECKING:
    from isoflop.analysis.rolling_scores import DistanceBand, Rolling

SMALLEST = 1e-4
"""Errors below are drawn here: a logarithm has no zero."""


@dataclass(frozen=True)
class RollingHoldouts(FigureData):
    """Errors of every prediction of a rolling hold-out, and the coverage of their intervals by distance."""

    title = "Rolling hold-outs"
    found: Rolling
    unit: str

    @classmethod
    def of(cls, found: Rolling | None, unit: str) -> RollingHoldouts | None:
        """Make it from a rolling hold-out; None without one. `unit`: with a space before it, or empty."""
        return None if found is None else cls(found, unit)

    @property
    def size(self) -> Size:
        return Size(panels=2, height=3.6)

    @property
    def caption(self) -> str:
        found = self.found
        return (
            f"{found.law} fitted to the runs below {len(found.cuts)} growing cuts in C, scored on all above "
            "each. Distance: compute over the largest that was fitted. Left: absolute errors of "
            "runs (grey) and of IsoFLOP minima (red); line: half-width of the runs' intervals, the median. "
            f"Right: share of runs (dots) and of minima (diamonds) within their {found.level:.0%} predictive "
            f"intervals, which mix the laws that fit below; shaded: {LEAST_COVERAGE:.0%} and more."
        )

    @property
    def description(self) -> str:
        said = "; ".join(
            f"{band.name}: error {band.mean_abs_error:.4f}, {percent(band.coverage)} of {band.runs} runs and "
            f"{percent(band.loss_coverage)} of {band.minima} minima inside"
            for band in self.found.bands
        )
        return f"Errors and coverage by distance. {said}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        left, right = axes
        hover = self._errors(left)
        hover += self._coverage(right)
        furthest = max(run.flops / cut.c_fitted for cut in self.found.cuts for run in cut.runs)
        for ax in axes:
            log_axis(ax, "x", 0.95, 1.15 * furthest, "Compute over the largest fitted")
        return hover

    def _errors(self, ax: Axes) -> Hover:
        hover: Hover = []
        runs = [(run, cut) for cut in self.found.cuts for run in cut.runs]
        words = [
            f"N = {short(run.n_params)}, C = {power(run.flops)}\nbelow {power(cut.c_min)}: predicted "
            f"{run.predicted:.4f}, measured {run.loss:.4f}"
            for run, cut in runs
        ]
        x, y = ([run.flops / cut.c_fitted for run, cut in runs], [abs(run.error) for run, _ in runs])
        hover += marks(ax, x, np.maximum(y, SMALLEST), words, "runs", NEUTRAL, size=3)
        minima = [(best, cut) for cut in self.found.cuts for best in cut.minima]
        if minima:
            x, y = ([m.flops / cut.c_fitted for m, cut in minima], [abs(m.error or 0.0) for m, _ in minima])
            said = [
                f"minimum at {power(m.flops)}\nbelow {power(cut.c_min)}: predicted "
                f"{m.loss_opt_predicted:.4f}, measured {m.loss_opt:.4f}"
                for m, cut in minima
            ]
            hover += marks(ax, x, np.maximum(y, SMALLEST), said, "minima", ACCENT, "D", 4)
        ax.plot(*self._by_band("half_width"), color=INK, lw=1.2, label="half-width of the intervals")
        ax.set_yscale("log")
        ax.set_ylabel("|error|" + (f" ({self.unit.strip()})" if self.unit else ""))
        return hover

    def _coverage(self, ax: Axes) -> Hover:
        ax.axhspan(LEAST_COVERAGE, 1.0, color=NEUTRAL, alpha=0.15, lw=0, label="_wanted")
        ax.axhline(self.found.level, color=INK, lw=0.9, ls=":", label="_stated")
        hover: Hover = []
        for name, label, colour, marker in (
            ("coverage", "runs inside", NEUTRAL, "o"),
            ("loss_coverage", "minima inside", ACCENT, "D"),
        ):
            x, y = self._by_band(name)
            ax.plot(x, y, color=colour, lw=1.2, label=f"_{name}")
            words = [f"{label}, about x{at:.3g}: {share:.0%}" for at, share in zip(x, y, strict=True)]
            hover += marks(ax, x, y, words, label, colour, marker, 5)
        ax.set_ylim(-0.03, 1.05)
        ax.set_ylabel("Share within their intervals")
        return hover

    def _by_band(self, name: str) -> tuple[list[float], list[float]]:
        """Where each band's predictions lie, and its value; bands without one are left out."""
        known = [band for band in self.found.bands if getattr(band, name) is not None]
        return [self._middle(band) for band in known], [getattr(band, name) for band in known]

    def _middle(self, band: DistanceBand) -> float:
        """The geometric mean distance of the band's runs."""
        high = band.high or float("inf")
        x = [max(run.flops / cut.c_fitted, 1.0 + 1e-9) for cut in self.found.cuts for run in cut.runs]
        return float(np.exp(np.mean(np.log([d for d in x if band.low < d <= high]))))
