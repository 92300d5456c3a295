"""Which law: the error on held-out runs, law by law, with what chance allows between it and the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, NewAxes, canvas, layout, nats, plain, power

if TYPE_CHECKING:
    from isoflop.analysis.comparison.competition import Contender
    from isoflop.analysis.reporting.report_data import ReportData

TITLE = "Held-out error, law by law"
ROW = 0.34
"""Inches a contender."""


@dataclass(frozen=True)
class Mark:
    """One contender: its error, and the interval about the best law's error on the same runs, nats."""

    name: str
    error: float
    bar: tuple[float, float] | None
    colour: str
    filled: bool
    words: str


def caption(story: ReportData) -> str:
    """What the figure shows, and on what it rests."""
    found = story.competition
    if found is None:
        return ""
    envelope = any(row.scored_on == "envelope" for row in found.rows)
    compute = ", and the law of compute alone, on the held-out envelope" if envelope else ""
    return (
        f"Every law fitted to the same {found.n_fit} runs below {power(found.c_min)} FLOPs, and its error "
        f"on the {found.n_held_out} above. Dotted: the best law's error ({found.best}). Bars: that error "
        f"plus the {found.level:.0%} interval of the difference, from resampling the held-out runs in pairs "
        f"({found.resampling}; the fits stay as they are). Red: a difference beyond chance; grey: none "
        f"shown; open: baselines{compute}."
    )


def marks(story: ReportData) -> list[Mark]:
    """The contenders from the least error down; empty without a competition."""
    return [_mark(row) for row in story.competition.rows] if story.competition else []


def _mark(row: Contender) -> Mark:
    low, high = row.interval
    reference = row.mean_abs_error - row.excess
    bar = None if low is None or high is None else (max(reference + low, 0.0), reference + high)
    law = row.kind == "law" and row.scored_on == "runs"
    on = "" if row.scored_on == "runs" else f" ({row.n_scored} runs of the envelope)"
    return Mark(
        name=row.name.replace("_", " ") + ("" if row.scored_on == "runs" else f", {row.n_scored} runs"),
        error=row.mean_abs_error,
        bar=bar,
        colour=ACCENT if row.beyond_chance else INK if bar is None else NEUTRAL,
        filled=law,
        words=f"{row.form}<br>bias {row.bias:+.4f}, worst {row.worst:+.4f} nats{on}",
    )


def _limit(shown: list[Mark]) -> float:
    return 1.08 * max(max(mark.error, mark.bar[1] if mark.bar else 0.0) for mark in shown)


def static(story: ReportData, new: NewAxes = canvas) -> Figure | None:
    """For print; None without a competition."""
    shown = marks(story)
    if not shown or story.competition is None:
        return None
    figure, (axes,) = new(7.4, 1.0 + ROW * len(shown))
    axes.axvline(_best(story), color=INK, lw=0.9, ls=":")
    for y, mark in enumerate(shown):
        if mark.bar:
            axes.plot(mark.bar, (y, y), color=mark.colour, lw=2.2, solid_capstyle="butt", alpha=0.75)
        face = mark.colour if mark.filled else "white"
        axes.plot(mark.error, y, "o", mfc=face, mec=mark.colour, mew=1.4, ms=7, zorder=3)
    axes.set_yticks(range(len(shown)), [mark.name for mark in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, _limit(shown))
    axes.set_xlabel(_label(story))
    axes.grid(visible=False, axis="y")
    return figure


def interactive(story: ReportData) -> go.Figure | None:
    """For the page; None without a competition."""
    shown = marks(story)
    if not shown or story.competition is None:
        return None
    figure = go.Figure()
    for mark in shown:
        if mark.bar:
            figure.add_scatter(
                x=mark.bar, y=[mark.name, mark.name], mode="lines", line={"color": mark.colour, "width": 4},
                opacity=0.7, hoverinfo="skip", showlegend=False,
            )  # fmt: skip
    figure.add_scatter(
        x=[mark.error for mark in shown],
        y=[mark.name for mark in shown],
        mode="markers",
        showlegend=False,
        marker={
            "size": 11,
            "color": [mark.colour if mark.filled else "white" for mark in shown],
            "line": {"color": [mark.colour for mark in shown], "width": 2},
        },
        customdata=[mark.words for mark in shown],
        hovertemplate="%{y}: %{x:.4f} nats<br>%{customdata}<extra></extra>",
    )
    names = [mark.name for mark in shown]
    figure.add_vline(x=_best(story), line={"color": INK, "width": 1, "dash": "dot"})  # pyright: ignore[reportArgumentType]
    rows = plain("", type="category", categoryorder="array", categoryarray=names[::-1], showgrid=False)
    figure.update_layout(
        layout(110 + 34 * len(shown), xaxis=plain(_label(story), range=[0, _limit(shown)]), yaxis=rows)
    )
    return figure


def _label(story: ReportData) -> str:
    unit = nats(story.table.conventions).strip()
    return "Mean |error| on held-out runs" + (f" ({unit})" if unit else "")


def _best(story: ReportData) -> float:
    found = story.competition
    return next(row.mean_abs_error for row in found.rows if row.name == found.best) if found else 0.0
