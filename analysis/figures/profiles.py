"""How sure: how fast the objective rises as one quantity is held away from its estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, marks
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT

if TYPE_CHECKING:
    from isoflop.analysis.result import Interval, LawFit, Profiles

TOP = 2.6
"""Rises beyond this many thresholds are cut off."""
BELOW = -0.32
"""Where the bootstrap's interval is drawn, under the curve."""
UNITS = {"a": "a (N ∝ Cᵃ)", "b": "b (D ∝ Cᵇ)"}
FIRST = ("alpha", "beta", "E", "a")
"""What is shown of a law that has them; of others, their first four quantities."""


@dataclass(frozen=True)
class Panel:
    """One quantity: its profile in thresholds, and both intervals; an end that is open is None."""

    name: str
    estimate: float
    values_K: np.ndarray
    rises_K: np.ndarray
    interval: Interval
    bootstrap: Interval | None
    label: str

    @property
    def limits(self) -> tuple[float, float]:
        """What the horizontal axis spans."""
        near = self.values_K[self.rises_K <= TOP]
        ends = [x for x in (*self.interval, *(self.bootstrap or ())) if x is not None]
        values = np.array([self.estimate, *near, *ends])
        margin = 0.06 * float(np.ptp(values)) or 0.05 * abs(self.estimate) or 1.0
        return float(values.min()) - margin, float(values.max()) + margin


@dataclass(frozen=True)
class ObjectiveProfiles(FigureData):
    """A panel a quantity."""

    title = "Profiles of the objective"
    quantities: tuple[Panel, ...]
    profiles: Profiles

    @classmethod
    def of(cls, profiles: Profiles | None, fit: LawFit) -> ObjectiveProfiles | None:
        """Make it from a fit and its profiles; None without profiles."""
        if profiles is None:
            return None
        spans, found = fit.intervals, profiles.quantities
        boot = {} if spans is None or spans.method != "bootstrap" else spans.params | spans.exponents
        names = [name for name in FIRST if name in found] or list(found)[:4]
        panels = tuple(
            Panel(
                name=name,
                estimate=found[name].estimate,
                values_K=np.array(found[name].values),
                rises_K=np.array(found[name].rises) / found[name].threshold,
                interval=found[name].interval,
                bootstrap=boot.get(name),
                label=f"E ({fit.conventions.unit})" if name == "E" else UNITS.get(name, name),
            )
            for name in names
        )
        return cls(panels, profiles)

    @property
    def size(self) -> Size:
        return Size(len(self.quantities), 9.0, 2.7, narrow_height=2.2, narrow_columns=2)

    @property
    def caption(self) -> str:
        arrows = (
            " An arrow marks an end that stays open: the objective does not cross the threshold as far as it "
            "was followed."
        )
        opened = any(None in panel.interval for panel in self.quantities)
        barred = any(panel.bootstrap is not None for panel in self.quantities)
        made = self.profiles
        grey = " Grey bar beneath: the bootstrap's percentile interval."
        return (
            "Each quantity held at other values, all the rest fitted anew: the objective's rise over the "
            f"threshold that the truth would exceed in {1 - made.level:.0%} of {made.simulations} tables "
            f"simulated from the fit (noise: {made.noise}). Red: the interval where it stays below."
            f"{grey if barred else ''}{arrows if opened else ''}"
        )

    @property
    def description(self) -> str:
        said = []
        for panel in self.quantities:
            low, high = ("open" if end is None else f"{end:.4g}" for end in panel.interval)
            said.append(f"{panel.name} {panel.estimate:.4g}, from {low} to {high}")
        return f"Rise of the objective about its minimum, a valley a quantity: {'; '.join(said)}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        hover: Hover = []
        for ax, panel in zip(axes, self.quantities, strict=True):
            ax.axhline(1.0, color=SOFT, lw=0.9, ls="--", label="_threshold")
            (rises,) = ax.plot(
                panel.values_K, panel.rises_K, color=INK, lw=1.4, marker="o", ms=2.6, label=f"_{panel.name}"
            )
            near = panel.rises_K <= TOP
            rises.set_markevery(np.flatnonzero(near).tolist())
            said = zip(panel.values_K[near], panel.rises_K[near], strict=True)
            hover.append((rises, [f"{panel.name} = {x:.4g}\n{rise:.2f} thresholds" for x, rise in said]))
            _draw_bar(ax, panel, panel.interval, 1.0, ACCENT)
            if panel.bootstrap is not None:
                _draw_bar(ax, panel, panel.bootstrap, BELOW, NEUTRAL)
            words = [f"{panel.name} = {panel.estimate:.4g}, the estimate"]
            hover += marks(ax, panel.estimate, 0, words, "_estimate", ACCENT, "D", 5)
            ax.set_xlim(*panel.limits)
            ax.set_ylim(-0.6, TOP)
            ax.set_yticks([0, 1, 2])
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.set_xlabel(panel.label)
        axes[0].set_ylabel("Rise over threshold")
        return hover


def _draw_bar(ax: Axes, panel: Panel, interval: Interval, y: float, colour: str) -> None:
    """An interval, an open end as an arrow at the edge of the axis."""
    ends = [edge if end is None else end for end, edge in zip(interval, panel.limits, strict=True)]
    ax.plot(ends, (y, y), color=colour, lw=2.6, solid_capstyle="butt", zorder=4, label="_interval")
    for end, value, marker in zip(ends, interval, ("<", ">"), strict=True):
        if value is None:
            ax.plot(end, y, marker=marker, color=colour, ms=7, clip_on=False, zorder=5, label="_open end")
