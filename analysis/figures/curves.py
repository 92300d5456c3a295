"""Training loss against tokens, run by run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import (
    NEUTRAL,
    NewAxes,
    budget_colours,
    canvas,
    layout,
    log_axis,
    logarithmic,
    plain,
    power,
    short,
    spread,
)

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

TITLE = "Training curves"
X = "Training tokens"
Y = "Training loss (nats per token)"
WARM = 0.02
"""Share of a run at its start that is left out of the vertical range: it is far above the rest."""
POINTS = 150


def caption(story: ReportData) -> str:
    """What the figure shows; of runs whose rate decays at their end, what the drop there is."""
    schedules = story.table.column("schedule")
    decays = schedules is not None and set(map(str, schedules)) == {"wsd"}
    decay = " The drop at the end of each is the decay of its learning rate; the fits see that end alone."
    decay = decay if decays else ""
    return (
        "Training loss against tokens for every run that kept its curve, in the colour of its "
        "budget, each point a mean "
        f"over neighbouring steps.{decay}"
    )


def _lines(story: ReportData) -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """(group number, label, tokens, loss), thinned to means over equal stretches of log tokens."""
    lines = []
    cells = story.table.column("cell_id")
    for g, cell, N in zip(
        story.group_R, () if cells is None else cells, story.table.N_R, strict=cells is not None
    ):
        curve = story.sweep.curves.get(str(cell))
        if curve is None:
            continue
        tokens, loss = curve[:, (curve[0] > 0) & np.isfinite(curve[1])]
        if len(tokens) < 3:
            continue
        edges = np.linspace(np.log(tokens[0]), np.log(tokens[-1]), POINTS)
        place = np.digitize(np.log(tokens), edges)
        count = np.maximum(np.bincount(place), 1)
        kept = np.bincount(place) > 0
        label = f"N = {short(N)}" + ("" if g < 0 else f", C = {power(story.groups[g].flops)}")
        means = [(np.bincount(place, values) / count)[kept] for values in (tokens, loss)]
        lines.append((int(g), label, *means))
    return lines


def _range(lines: list[tuple[int, str, np.ndarray, np.ndarray]]) -> tuple[float, float]:
    low = min(float(loss.min()) for *_, loss in lines)
    settled = [loss[tokens > WARM * tokens[-1]] for *_, tokens, loss in lines]
    high = max(float(loss.max()) for loss in settled if len(loss))
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def static(story: ReportData, new: NewAxes = canvas) -> Figure | None:
    """For print; None where no curve was kept."""
    lines = _lines(story)
    if not lines:
        return None
    colours = [*budget_colours(len(story.groups)), NEUTRAL]
    figure, (axes,) = new(7.4, 4.2)
    seen: set[int] = set()
    for g, _, tokens, loss in lines:
        label = None if g in seen or g < 0 else power(story.groups[g].flops)
        seen.add(g)
        axes.plot(tokens, loss, color=colours[g], lw=0.9, alpha=0.8, label=label)
    log_axis(axes, "x", *spread(np.concatenate([line[2] for line in lines]), 0.02), X)
    axes.set_ylim(*_range(lines))
    axes.set_ylabel(Y)
    if story.groups:
        axes.legend(title="Budget C (FLOPs)", loc="upper left", bbox_to_anchor=(1.0, 1.0), alignment="left")
    return figure


def interactive(story: ReportData) -> go.Figure | None:
    """For the page; None where no curve was kept."""
    lines = _lines(story)
    if not lines:
        return None
    colours = [*budget_colours(len(story.groups)), NEUTRAL]
    figure = go.Figure()
    seen: set[int] = set()
    for g, label, tokens, loss in lines:
        name = "other runs" if g < 0 else f"{power(story.groups[g].flops)} FLOPs"
        figure.add_scatter(
            x=np.round(tokens),
            y=np.round(loss, 4),
            mode="lines",
            name=name,
            legendgroup=name,
            showlegend=g not in seen,
            line={"color": colours[g], "width": 1.3},
            opacity=0.8,
            hovertemplate="loss %{y:.3f}<extra>" + label + "</extra>",
        )
        seen.add(g)
    tokens = spread(np.concatenate([line[2] for line in lines]), 0.02)
    figure.update_layout(
        layout(430, xaxis=logarithmic(X, *tokens), yaxis=plain(Y, range=list(_range(lines)))),
        legend={"title": {"text": "Training budget C"}, "x": 1.01, "y": 1},
    )
    return figure
