"""What the law does not explain: relative residuals against size, tokens per parameter, and their spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from isoflop.analysis.figures.style import (
    INK,
    NEUTRAL,
    NewAxes,
    budget_colours,
    canvas,
    faded,
    layout,
    log_axis,
    logarithmic,
    nats,
    plain,
    power,
    short,
    spread,
)
from isoflop.analysis.result import probability

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

TITLE = "Residuals of the fitted surface"
LABELS = ("Parameters N", "Tokens per parameter D/N")
Y = "Measured over fitted loss − 1 (%)"


def caption(story: ReportData) -> str:
    """What the figure shows, with the spread beside the seeds'."""
    notes = story.fit.conventions
    seeds = (
        ""
        if notes.seed_sd_nats is None
        else (
            f"; seeds alone differ by {notes.seed_sd_nats:.4f}{nats(notes)} (pooled over "
            f"{notes.seed_groups} repeated cells)"
        )
    )
    return (
        "Each run's loss relative to the surface, against size (left) and tokens per parameter "
        "(right). Shaded: two "
        f"standard deviations of the residuals, ±{200 * notes.residual_log_sd:.2f}%{seeds}."
        f"{_verdict(story)}"
    )


def _verdict(story: ReportData) -> str:
    """What the lack-of-fit test makes of them; empty without one."""
    found = story.fit.misfit
    if found is None:
        return ""
    what = (
        "a pattern that chance does not explain"
        if found.rejected
        else "no pattern that chance does not explain"
    )
    return f" The lack-of-fit test finds {what} ({probability(found.p_value)})."


def _data(story: ReportData) -> tuple[np.ndarray, list[np.ndarray], list[str], float]:
    fitted_R = story.fit.predict(story.table.N_R, story.table.D_R)
    percent_R = 100 * (story.table.loss_R / fitted_R - 1)
    colours = [*budget_colours(len(story.groups)), NEUTRAL]
    across = [story.table.N_R, story.table.D_R / story.table.N_R]
    return (
        percent_R,
        across,
        [colours[g] for g in story.group_R],
        200 * story.fit.conventions.residual_log_sd,
    )


def static(story: ReportData, new: NewAxes = canvas) -> Figure | None:
    """For print."""
    percent_R, across, colours, spread_of = _data(story)
    figure, panels = new(9.0, 3.5, columns=2)
    for panel, x, label in zip(panels, across, LABELS, strict=True):
        panel.axhspan(-spread_of, spread_of, color=NEUTRAL, alpha=0.15, lw=0)
        panel.axhline(0, color=INK, lw=1)
        panel.scatter(x, percent_R, s=28, c=colours, edgecolors="white", linewidths=0.6, zorder=3)
        log_axis(panel, "x", *spread(x), label)
    panels[0].set_ylabel(Y)
    return figure


def interactive(story: ReportData) -> go.Figure | None:
    """For the page."""
    percent_R, across, colours, spread_of = _data(story)
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05)
    table = story.table
    text = [[short(n), short(d), power(c)] for n, d, c in zip(table.N_R, table.D_R, table.C_R, strict=True)]
    for k, (x, label) in enumerate(zip(across, LABELS, strict=True), start=1):
        figure.add_scatter(
            x=x,
            y=percent_R,
            mode="markers",
            row=1,
            col=k,
            customdata=text,
            showlegend=False,
            marker={"size": 9, "color": colours, "line": {"color": "white", "width": 1}},
            hovertemplate="N = %{customdata[0]}, D = %{customdata[1]}<br>C = %{customdata[2]}<br>%{y:.2f}%"
            "<extra></extra>",
        )
        low, high = spread(x)
        ends = np.array([low, high])
        figure.add_scatter(
            x=ends,
            y=[0, 0],
            mode="lines",
            line={"color": INK, "width": 1.2},
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=k,
        )
        figure.add_scatter(
            x=[low, high, high, low],
            y=[-spread_of, -spread_of, spread_of, spread_of],
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor=faded(NEUTRAL, 0.16),
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=k,
        )
        figure.update_xaxes(logarithmic(label, low, high), row=1, col=k)
        figure.update_yaxes(plain(Y if k == 1 else ""), row=1, col=k)
    figure.update_layout(layout(380))
    return figure
