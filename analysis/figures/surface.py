"""The fitted surface L(N, D): contours, the efficient frontier across them, and where the runs were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import (
    ACCENT,
    EQUAL,
    INK,
    LOSS_SCALE,
    NEUTRAL,
    NewAxes,
    budget_colours,
    canvas,
    faded,
    layout,
    log_axis,
    logarithmic,
    loss_unit,
    power,
    short,
    spread,
)

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

TITLE = "The fitted surface"
X = "Parameters N"
Y = "Training tokens D"
POINTS = 90
SCALE = [[at, colour] for at, colour in zip((0.0, 0.35, 0.7, 1.0), LOSS_SCALE, strict=True)]


def caption(story: ReportData) -> str:
    """What the figure shows."""
    colours = " in their budget's colour" if story.groups else ""
    frontier = (
        " Red: the efficient frontier, the lowest loss at each compute." if len(_frontier(story)[0]) else ""
    )
    equal = " Dotted grey: lines of equal compute." if story.groups else ""
    return (
        f"Contours of the fitted loss ({loss_unit(story.table.conventions)}) over size and data, runs as dots"
        f"{colours}.{frontier}{equal}"
    )


def _grid(story: ReportData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.geomspace(*spread(story.table.N_R, 0.12), num=POINTS)
    y = np.geomspace(*spread(story.table.D_R, 0.12), num=POINTS)
    return x, y, story.fit.predict(x[None, :], y[:, None])


def _frontier(story: ReportData) -> tuple[np.ndarray, np.ndarray]:
    low, high = story.fit.conventions.flops_range
    N_K, D_K = story.fit.allocate(np.geomspace(low / 20, high * 20, 60))
    known = np.isfinite(N_K) & np.isfinite(D_K)
    return N_K[known], D_K[known]


def _levels(loss: np.ndarray) -> tuple[float, float, float]:
    """First and last contour and a round spacing, for about a dozen of them over most of the surface."""
    low, high = np.quantile(loss, [0.02, 0.97])
    raw = float(high - low) / 12 or 0.01
    scale = 10.0 ** np.floor(np.log10(raw))
    step = float(scale * min((1, 2, 2.5, 5, 10), key=lambda m: abs(m - raw / scale)))
    return round(float(np.ceil(low / step) * step), 6), float(high), step


def _colours() -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("loss", [(float(at), str(colour)) for at, colour in SCALE])


def static(story: ReportData, new: NewAxes = canvas) -> Figure | None:
    """For print."""
    x, y, loss = _grid(story)
    figure, (axes,) = new(6.4, 4.9)
    axes.grid(False)
    start, end, step = _levels(loss)
    levels = np.arange(start, end + step / 2, step)
    axes.contourf(x, y, loss, levels=[loss.min() - step, *levels, loss.max() + step], cmap=_colours())
    lines = axes.contour(x, y, loss, levels=levels, colors=INK, linewidths=0.5, alpha=0.5)
    axes.clabel(lines, levels[::2], fmt="%.4g", fontsize=8, colors=INK)
    for group in story.groups:
        axes.plot(x, group.flops / story.fit.cost(x), ls=":", lw=1.0, color=EQUAL)
    axes.plot(*_frontier(story), color=ACCENT, lw=2.0, label="efficient frontier")
    colours = [*budget_colours(len(story.groups)), NEUTRAL]
    axes.scatter(
        story.table.N_R,
        story.table.D_R,
        s=26,
        c=[colours[g] for g in story.group_R],
        edgecolors="white",
        linewidths=0.7,
        zorder=4,
    )
    log_axis(axes, "x", x[0], x[-1], X)
    log_axis(axes, "y", y[0], y[-1], Y)
    axes.legend(loc="lower left", frameon=True, facecolor="white", framealpha=0.85, edgecolor="none")
    return figure


def interactive(story: ReportData) -> go.Figure | None:
    """For the page."""
    x, y, loss = _grid(story)
    start, end, step = _levels(loss)
    figure = go.Figure()
    figure.add_contour(
        x=x, y=y, z=loss, colorscale=SCALE, ncontours=14, line={"width": 0.7, "color": faded(INK, 0.45)},
        contours={"showlabels": True, "labelfont": {"size": 11, "color": INK}, "start": start, "end": end,
                  "size": step},
        colorbar={"title": {"text": "loss", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        hovertemplate="loss %{z:.3f}<extra>fitted</extra>",
    )  # fmt: skip
    for group in story.groups:
        D = group.flops / story.fit.cost(x)
        inside = (y[0] <= D) & (y[-1] >= D)
        figure.add_scatter(
            x=x[inside],
            y=D[inside],
            mode="lines",
            line={"dash": "dot", "width": 1.2, "color": EQUAL},
            hoverinfo="skip",
            showlegend=False,
        )
    N_K, D_K = _frontier(story)
    figure.add_scatter(
        x=N_K,
        y=D_K,
        mode="lines",
        line={"color": ACCENT, "width": 3},
        name="efficient frontier",
        hoverinfo="skip",
    )
    _add_runs(figure, story)
    figure.update_layout(
        layout(
            500,
            xaxis=logarithmic(X, x[0], x[-1], showgrid=False),
            yaxis=logarithmic(Y, y[0], y[-1], showgrid=False),
        ),
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
    )
    figure.update_layout(margin={"t": 40})
    return figure


def _add_runs(figure: go.Figure, story: ReportData) -> None:
    colours = [*budget_colours(len(story.groups)), NEUTRAL]
    figure.add_scatter(
        x=story.table.N_R,
        y=story.table.D_R,
        mode="markers",
        name="runs",
        marker={
            "size": 8,
            "color": [colours[g] for g in story.group_R],
            "line": {"color": "white", "width": 1},
        },
        customdata=[
            [short(n), short(d), power(c), f"{value:.4f}"]
            for n, d, c, value in zip(
                story.table.N_R, story.table.D_R, story.table.C_R, story.table.loss_R, strict=True
            )
        ],
        hovertemplate="N = %{customdata[0]}, D = %{customdata[1]}<br>C = %{customdata[2]}<br>"
        "loss %{customdata[3]}<extra>run</extra>",
    )
