"""The compute multiplier over compute: how many times the FLOPs B needs for A's loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.comparison.multiplier import ComputeMultiplier, MultiplierPoint
from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, marks
from isoflop.analysis.figures.style import ACCENT, INK, log_axis, spread
from isoflop.base.formatting import interval, number, power


@dataclass(frozen=True)
class MultiplierCurve(FigureData):
    """The multiplier with its band, against A's FLOPs."""

    title = "The compute multiplier"
    found: ComputeMultiplier

    @property
    def size(self) -> Size:
        return Size(height=4.0)

    @property
    def caption(self) -> str:
        found = self.found
        band = f" Band: {found.level:.0%} intervals, from the redraws of both fits." if found.level else ""
        return (
            f"How many times A's FLOPs B needs for A's {found.quantity}, over the FLOPs that both have runs "
            f"for. Above the dotted line A is the better.{band} A is {found.a}, B is {found.b}."
        )

    @property
    def description(self) -> str:
        said = [f"{p.multiplier:.2f} at {power(p.flops)} FLOPs" for p in self.found.shown]
        return f"The compute multiplier of B against A: {', '.join(said)}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        C_K = np.array([p.flops for p in self.found.points])
        middle_K = np.array([p.multiplier for p in self.found.points])
        ends_Kx2 = np.array([[np.nan if x is None else x for x in p.interval] for p in self.found.points])
        ax.axhline(1.0, color=INK, lw=0.9, ls=":", label="_equal")
        if np.isfinite(ends_Kx2).any():
            ax.fill_between(C_K, *ends_Kx2.T, color=ACCENT, alpha=0.14, lw=0, label="_interval")
        ax.plot(C_K, middle_K, color=ACCENT, lw=1.8, label="_multiplier")
        shown = self.found.shown
        hover = marks(
            ax, [p.flops for p in shown], [p.multiplier for p in shown], [_words(p) for p in shown],
            "_point", ACCENT, "D", 5,
        )  # fmt: skip
        every = np.concatenate([middle_K, ends_Kx2[np.isfinite(ends_Kx2)], [0.95, 1.05]])
        log_axis(ax, "x", C_K[0] / 1.05, C_K[-1] * 1.05, "A's training compute C (FLOPs)", power)
        log_axis(ax, "y", *spread(every), "B's FLOPs over A's", "{:.3g}".format)
        return hover


def _words(p: MultiplierPoint) -> str:
    span = interval(p.interval, number)
    return f"C = {power(p.flops)} FLOPs\nB needs {number(p.multiplier)} times {span}\nloss {p.loss_a:.4f}"
