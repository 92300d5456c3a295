"""How sure: how fast the objective rises as one quantity is held away from its estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from plotly.subplots import make_subplots

from isoflop.analysis.figures.style import (
    ACCENT,
    INK,
    NEUTRAL,
    SOFT,
    NewAxes,
    canvas,
    layout,
    loss_unit,
    plain,
)

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData
    from isoflop.analysis.result import Interval

TITLE = "Profiles of the objective"
Y = "Rise over threshold"
TOP = 2.6
"""Rises beyond this many thresholds are cut off."""
BELOW = -0.32
"""Where the bootstrap's interval is drawn, under the curve."""
UNITS = {"a": "a (N ∝ Cᵃ)", "b": "b (D ∝ Cᵇ)"}


@dataclass(frozen=True)
class Panel:
    """One quantity: its profile in thresholds, and both intervals; an end that is open is None."""

    name: str
    estimate: float
    values_K: np.ndarray
    rises_K: np.ndarray
    interval: Interval
    bootstrap: Interval | None
    unit: str | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """What the horizontal axis spans."""
        near = self.values_K[self.rises_K <= TOP]
        ends = [x for x in (*self.interval, *(self.bootstrap or ())) if x is not None]
        values = np.array([self.estimate, *near, *ends])
        margin = 0.06 * float(np.ptp(values)) or 0.05 * abs(self.estimate) or 1.0
        return float(values.min()) - margin, float(values.max()) + margin

    @property
    def label(self) -> str:
        return UNITS.get(self.name, self.name) if self.unit is None else f"{self.name} ({self.unit})"


def caption(story: ReportData) -> str:
    """What the figure shows, and how the thresholds came about."""
    found = story.profiles
    if found is None:
        return ""
    opened = any(None in panel.interval for panel in panels(story))
    arrows = (
        " An arrow marks an end that stays open: the objective does not cross the threshold as far as it was "
        "followed."
        if opened
        else ""
    )
    barred = any(panel.bootstrap is not None for panel in panels(story))
    grey = " Grey bar beneath: the bootstrap's percentile interval." if barred else ""
    return (
        "Each quantity held at other values, all the rest fitted anew: the objective's rise over the "
        f"threshold that the truth would exceed in {1 - found.level:.0%} of {found.simulations} "
        f"tables simulated from the fit (noise: {found.noise}). Red: the interval where it stays below."
        f"{grey}{arrows}"
    )


def panels(story: ReportData) -> list[Panel]:
    """The quantities that were profiled; empty without."""
    if story.profiles is None:
        return []
    spans = story.fit.intervals
    boot = {} if spans is None or spans.method != "bootstrap" else {**spans.params, **spans.exponents}
    order = ("alpha", "beta", "E", "a")
    found = story.profiles.quantities
    names = [name for name in order if name in found] or list(found)[:4]
    return [
        Panel(
            name=name,
            estimate=found[name].estimate,
            values_K=np.array(found[name].values),
            rises_K=np.array(found[name].rises) / found[name].threshold,
            interval=found[name].interval,
            bootstrap=boot.get(name),
            unit=loss_unit(story.table.conventions) if name == "E" else None,
        )
        for name in names
    ]


def static(story: ReportData, new: NewAxes = canvas) -> Figure | None:
    """For print; None without profiles."""
    shown = panels(story)
    if not shown:
        return None
    figure, axes = new(2.6 * len(shown) + 0.4, 2.9, columns=len(shown))
    for panel, place in zip(shown, axes, strict=True):
        place.axhline(1.0, color=SOFT, lw=0.9, ls="--")
        place.plot(panel.values_K, panel.rises_K, color=INK, lw=1.4, marker="o", ms=2.6)
        _bar(place, panel, panel.interval, 1.0, ACCENT)
        if panel.bootstrap is not None:
            _bar(place, panel, panel.bootstrap, BELOW, NEUTRAL)
        place.plot(panel.estimate, 0, "D", color=ACCENT, ms=5, mec="white", mew=0.8, zorder=5)
        place.set_xlim(*panel.limits)
        place.set_ylim(-0.6, TOP)
        place.set_yticks([0, 1, 2])
        place.xaxis.set_major_locator(MaxNLocator(4))
        place.set_xlabel(panel.label)
    axes[0].set_ylabel(Y)
    return figure


def _ends(panel: Panel, interval: Interval) -> tuple[float, float]:
    """The interval, an open end at the edge of the axis."""
    low, high = panel.limits
    return low if interval[0] is None else interval[0], high if interval[1] is None else interval[1]


def _bar(axes: Axes, panel: Panel, interval: Interval, y: float, colour: str) -> None:
    ends = _ends(panel, interval)
    axes.plot(ends, (y, y), color=colour, lw=2.6, solid_capstyle="butt", zorder=4)
    for end, value, marker in zip(ends, interval, ("<", ">"), strict=True):
        if value is None:
            axes.plot(end, y, marker=marker, color=colour, ms=7, clip_on=False, zorder=5)


def interactive(story: ReportData) -> go.Figure | None:
    """For the page; None without profiles."""
    shown = panels(story)
    if not shown:
        return None
    figure = make_subplots(rows=1, cols=len(shown), shared_yaxes=True, horizontal_spacing=0.03)
    for column, panel in enumerate(shown, start=1):
        for trace in _traces(panel):
            figure.add_trace(trace, 1, column)
        figure.update_xaxes(plain(panel.label, range=list(panel.limits), nticks=4), row=1, col=column)
        axis = plain(Y if column == 1 else "", range=[-0.6, TOP], tickvals=[0, 1, 2])
        figure.update_yaxes(axis, row=1, col=column)
    figure.update_layout(layout(330, showlegend=False))
    return figure


def _traces(panel: Panel) -> list[go.Scatter]:
    quiet = {"hoverinfo": "skip", "mode": "lines"}
    traces = [
        go.Scatter(x=panel.limits, y=[1, 1], line={"color": SOFT, "width": 1, "dash": "dash"}, **quiet),
        go.Scatter(
            x=panel.values_K,
            y=panel.rises_K,
            mode="lines+markers",
            line={"color": INK, "width": 2},
            marker={"size": 5},
            hovertemplate=f"{panel.name} = %{{x:.4g}}<br>%{{y:.2f}} thresholds<extra></extra>",
        ),
    ]
    for interval, y, colour in ((panel.interval, 1.0, ACCENT), (panel.bootstrap, BELOW, NEUTRAL)):
        if interval is None:
            continue
        ends = _ends(panel, interval)
        traces.append(go.Scatter(x=ends, y=[y, y], line={"color": colour, "width": 4}, **quiet))
        for end, value, symbol in zip(ends, interval, ("triangle-left", "triangle-right"), strict=True):
            if value is None:
                marker = {"symbol": symbol, "size": 12, "color": colour}
                traces.append(
                    go.Scatter(
                        x=[end], y=[y], mode="markers", marker=marker, hoverinfo="skip", cliponaxis=False
                    )
                )
    traces.append(
        go.Scatter(
            x=[panel.estimate],
            y=[0],
            mode="markers",
            marker={"symbol": "diamond", "size": 10, "color": ACCENT},
            hovertemplate=f"{panel.name} = %{{x:.4g}}<extra>estimate</extra>",
        )
    )
    return traces
