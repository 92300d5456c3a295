"""IsoFLOP curves: held-out loss against size at each budget, the curve through it, and its minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isoflop.analysis.figures.style import (
    ACCENT,
    INK,
    NewAxes,
    budget_colours,
    canvas,
    curve_words,
    faded,
    layout,
    log_axis,
    logarithmic,
    loss_unit,
    plain,
    power,
    short,
    spread,
)
from isoflop.analysis.isoflops.minima import curve_through

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData
    from isoflop.analysis.result import Budget

TITLE = "IsoFLOP curves"
X = "Parameters N"
POINTS = 120
WIDE = 2.0
"""Ratio of the largest to the smallest loss from which the axis is logarithmic: else the minima drown."""


@dataclass(frozen=True)
class Curve:
    """One budget: its runs, the curve through them, parameters and nats per token, and what was found."""

    budget: Budget
    colour: str
    N_R: np.ndarray
    D_R: np.ndarray
    loss_R: np.ndarray
    N_M: np.ndarray
    loss_M: np.ndarray

    @property
    def name(self) -> str:
        return f"{power(self.budget.flops)} FLOPs"

    @property
    def found(self) -> bool:
        """The runs bracket a minimum."""
        return self.budget.n_opt is not None

    @property
    def bar(self) -> tuple[float, float, bool, bool]:
        """(low, high, low end is open, high end is open) of N_opt's interval; an open end is drawn to the
        last size.
        """
        low, high = self.budget.n_interval or (self.budget.n_opt, self.budget.n_opt)
        return low or float(self.N_R.min()), high or float(self.N_R.max()), low is None, high is None

    @property
    def why_none(self) -> str:
        """What stands for a minimum where there is none."""
        if not self.budget.convex:
            return "does not bend upwards"
        end = "smallest" if (self.budget.centring or 0.0) < 0 else "largest"
        return f"minimum at or beyond the {end} size"


def caption(story: ReportData) -> str:
    """What the figure shows, with its count of good minima."""
    budgets = story.parabolas.budgets if story.parabolas and story.parabolas.budgets else ()
    good = sum(b.n_opt is not None for b in budgets)
    without = "" if good == len(budgets) else " Dashed: budgets whose runs bracket no minimum."
    opened = any(b.n_interval is not None and None in b.n_interval for b in budgets)
    barred = any(b.n_interval is not None and b.n_interval != (None, None) for b in budgets)
    spans = " with bars over their 95% bootstrap intervals" if barred else ""
    arrows = " An arrow marks an end of an interval that the runs leave open." if opened else ""
    return (
        "Loss of every run against its size, one colour a training budget. Lines are "
        f"{curve_words(_kind(story))}; diamonds mark their minima{spans} ({good} of {len(budgets)} "
        f"budget{'s have' if len(budgets) != 1 else ' has'} one).{without}{arrows} N counts "
        f"{story.table.conventions.count_meaning}."
    )


def static(story: ReportData, new: NewAxes = canvas) -> Figure | None:
    """For print; None without IsoFLOP groups."""
    curves = _curves(story)
    if not curves:
        return None
    figure, (axes,) = new(7.4, 4.6)
    for curve in curves:
        width, dash, alpha = (1.7, "-", 1.0) if curve.found else (1.2, (0, (4, 2.5)), 0.75)
        axes.plot(curve.N_M, curve.loss_M, color=curve.colour, lw=width, ls=dash, alpha=alpha)
        face, edge = (curve.colour, "white") if curve.found else ("white", curve.colour)
        axes.plot(curve.N_R, curve.loss_R, "o", color=face, ms=4.8, mec=edge, mew=0.7 if curve.found else 1.1)
    for curve in curves:
        if curve.found:
            _draw_minimum(axes, curve)
    log_axis(axes, "x", *spread(story.table.N_R), X)
    low, high = _range(curves)
    if high > WIDE * low:
        log_axis(axes, "y", low, high, _label(story), _nats)
    else:
        axes.set_ylabel(_label(story))
        axes.set_ylim(low, high)
    _legend(axes, curves)
    return figure


def interactive(story: ReportData) -> go.Figure | None:
    """For the page; None without IsoFLOP groups."""
    curves = _curves(story)
    if not curves:
        return None
    figure = go.Figure()
    for curve in curves:
        _add_curve(figure, curve)
    _add_minima(figure, [curve for curve in curves if curve.found])
    low, high = _range(curves)
    label = _label(story)
    loss_axis = logarithmic(label, low, high, _nats) if high > WIDE * low else plain(label, range=[low, high])
    figure.update_layout(
        layout(480, xaxis=logarithmic(X, *spread(story.table.N_R)), yaxis=loss_axis),
        legend={"title": {"text": "Training budget C"}, "x": 1.01, "y": 1},
    )
    return figure


def _kind(story: ReportData) -> str:
    return (story.parabolas.conventions.curve if story.parabolas else None) or "parabola"


def _curves(story: ReportData) -> list[Curve]:
    budgets = story.parabolas.budgets if story.parabolas and story.parabolas.budgets else ()
    if not budgets:
        return []
    table, found = story.table, []
    colours = budget_colours(len(story.groups))
    for group, budget, colour in zip(story.groups, budgets, colours, strict=True):
        N_R, loss_R = table.N_R[group.rows], table.loss_R[group.rows]
        N_M = np.geomspace(N_R.min(), N_R.max(), POINTS)
        loss_M = curve_through(_kind(story), N_R, loss_R, N_M)
        found.append(Curve(budget, colour, N_R, table.D_R[group.rows], loss_R, N_M, loss_M))
    return found


def _range(curves: list[Curve]) -> tuple[float, float]:
    """Limits of the loss axis: the runs and the minima, whatever a curve does between or beyond them."""
    minima = np.array([c.budget.loss_opt for c in curves if c.found], dtype=float)
    values = np.concatenate([*(c.loss_R for c in curves), minima])
    if values.max() > WIDE * values.min():
        return spread(values)
    margin = max(0.06 * float(np.ptp(values)), 1e-3)
    return float(values.min()) - margin, float(values.max()) + margin


def _label(story: ReportData) -> str:
    return f"Loss ({loss_unit(story.table.conventions)})"


def _nats(loss: float) -> str:
    return f"{loss:g}"


def _draw_minimum(axes: Axes, curve: Curve) -> None:
    low, high, low_open, high_open = curve.bar
    n_opt, loss = float(curve.budget.n_opt or np.nan), float(curve.budget.loss_opt or np.nan)
    axes.plot([low, high], [loss, loss], color=INK, lw=1.2, solid_capstyle="butt", zorder=4)
    for end, is_open, marker in ((low, low_open, 4), (high, high_open, 5)):  # 4, 5: carets to the left, right
        if is_open:
            axes.plot(end, loss, marker=marker, color=INK, ms=5, mec="none", zorder=4)
    axes.plot(n_opt, loss, "D", color=ACCENT, ms=5.5, mec="white", mew=0.8, zorder=5)


def _legend(axes: Axes, curves: list[Curve]) -> None:
    keys = []
    for curve in curves:
        face, edge = (curve.colour, "white") if curve.found else ("white", curve.colour)
        name = power(curve.budget.flops) + ("" if curve.found else ", no minimum")
        dash = "-" if curve.found else (0, (3, 2))
        keys.append(
            Line2D(
                [], [], color=curve.colour, lw=1.5, ls=dash, marker="o", mfc=face, mec=edge, ms=5, label=name
            )
        )
    keys.append(
        Line2D([], [], color=INK, lw=1.2, marker="D", mfc=ACCENT, mec="white", ms=5.5, label="minimum")
    )
    axes.legend(
        handles=keys,
        title="Budget C (FLOPs)",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        alignment="left",
        title_fontsize=9,
        fontsize=8,
        frameon=False,
    )


def _add_curve(figure: go.Figure, curve: Curve) -> None:
    line = {"color": curve.colour, "width": 2}
    if not curve.found:
        line = {"color": faded(curve.colour, 0.75), "width": 1.5, "dash": "dash"}
    figure.add_scatter(
        x=curve.N_M,
        y=curve.loss_M,
        mode="lines",
        line=line,
        legendgroup=curve.name,
        showlegend=False,
        hoverinfo="skip",
    )
    note = "" if curve.found else f"<br>{curve.why_none}"
    figure.add_scatter(
        x=curve.N_R,
        y=curve.loss_R,
        mode="markers",
        name=curve.name + ("" if curve.found else ", no minimum"),
        legendgroup=curve.name,
        marker={
            "color": curve.colour if curve.found else "white",
            "size": 8,
            "line": {"color": "white" if curve.found else curve.colour, "width": 1 if curve.found else 1.6},
        },
        customdata=np.stack([[short(n) for n in curve.N_R], [short(d) for d in curve.D_R]], axis=1),
        hovertemplate="N = %{customdata[0]}<br>D = %{customdata[1]} tokens<br>loss %{y:.4f}"
        + f"{note}<extra>{curve.name}</extra>",
    )


def _add_minima(figure: go.Figure, curves: list[Curve]) -> None:
    bars = [curve.bar for curve in curves]
    n_opt = np.array([curve.budget.n_opt for curve in curves], dtype=float)
    loss = [curve.budget.loss_opt for curve in curves]
    for end, symbol in ((0, "triangle-left"), (1, "triangle-right")):
        opened = [k for k, bar in enumerate(bars) if bar[2 + end]]
        figure.add_scatter(
            x=[bars[k][end] for k in opened],
            y=[loss[k] for k in opened],
            mode="markers",
            marker={"symbol": symbol, "size": 9, "color": INK},
            showlegend=False,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=n_opt,
        y=loss,
        mode="markers",
        name="minimum",
        marker={"symbol": "diamond", "size": 11, "color": ACCENT, "line": {"color": "white", "width": 1.2}},
        error_x={
            "type": "data",
            "symmetric": False,
            "color": INK,
            "thickness": 1.4,
            "width": 0,
            "array": np.array([bar[1] for bar in bars]) - n_opt,
            "arrayminus": n_opt - np.array([bar[0] for bar in bars]),
        },
        customdata=[_in_words(curve) for curve in curves],
        hovertemplate="N_opt = %{customdata}<br>loss %{y:.4f}<extra>minimum</extra>",
    )


def _in_words(curve: Curve) -> str:
    low, high, low_open, high_open = curve.bar
    low_end, high_end = (
        "open" if is_open else short(end) for end, is_open in ((low, low_open), (high, high_open))
    )
    bias = curve.budget.bias_percent
    return f"{short(curve.budget.n_opt or 0)} ({low_end} to {high_end})" + (
        "" if bias is None else f"<br>bias of the curve on the fitted surface {bias:+.1f}%"
    )
