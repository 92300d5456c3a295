"""Learning rates: what was tried at each width, what was chosen, and the rule that carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import (
    ACCENT,
    INK,
    NewAxes,
    budget_colours,
    canvas,
    layout,
    log_axis,
    logarithmic,
    plain,
    spread,
)

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

TITLE = "Learning-rate tuning"
X = "Peak learning rate"
Y = "Loss above the width's best (nats)"


@dataclass(frozen=True)
class Width:
    """Rates tried at one width, ascending, and the loss of each above the lowest; the rule's rate where
    known.
    """

    name: str
    rate_K: np.ndarray
    above_K: np.ndarray
    rule: float | None


def caption(story: ReportData) -> str:
    """What the figure shows, with the rule."""
    about = story.sweep.summary.get("learning_rate") or {}
    rule = f" Rule carried to the grid: {_rule(about)}." if _rule(about) else ""
    edges = [a["d_model"] for a in about.get("anchors", []) if a.get("at_edge")]
    flagged = f" At the edge of what was tried: width {', '.join(map(str, edges))}." if edges else ""
    ticks = "; vertical ticks mark the rule's rate" if any(w.rule is not None for w in _widths(story)) else ""
    return (
        "Loss on tuning windows (not the reported ones) against the peak learning rate, by width, above each "
        f"width's best{ticks}.{rule}{flagged}"
    )


def _rule(about: dict) -> str:
    if about.get("c") is None or about.get("p") is None:
        return str(about.get("rule") or "")
    exponent = -float(about["p"])
    if not exponent:
        return f"rate = {about['c']:.3g} at every width"
    return f"rate = {about['c']:.3g} × width^{exponent:.3g}".replace("-", "−")


def _widths(story: ReportData) -> list[Width]:
    tuning = story.sweep.tuning
    if tuning is None or not {"lr", "d_model", "loss"} <= set(tuning.columns):
        return []
    about = story.sweep.summary.get("learning_rate") or {}
    widths = []
    for width, rows in tuning.groupby("d_model"):
        rate_K = np.unique(rows["lr"].to_numpy(dtype=float))
        loss_K = np.array(
            [np.mean(rows["loss"].to_numpy()[rows["lr"].to_numpy() == rate]) for rate in rate_K]
        )
        known = about.get("c") is not None and about.get("p") is not None
        rule = about["c"] * float(str(width)) ** -about["p"] if known else None
        widths.append(Width(f"width {float(str(width)):g}", rate_K, loss_K - loss_K.min(), rule))
    return widths


def static(story: ReportData, new: NewAxes = canvas) -> Figure | None:
    """For print; None without a tuning table."""
    widths = _widths(story)
    if not widths:
        return None
    figure, (axes,) = new(6.2, 3.8)
    for colour, width in zip(budget_colours(len(widths)), widths, strict=True):
        axes.plot(
            width.rate_K,
            width.above_K,
            "o-",
            color=colour,
            lw=1.5,
            ms=5,
            mec="white",
            mew=0.6,
            label=width.name,
        )
        if width.rule is not None:
            axes.plot(width.rule, 0, marker=3, color=colour, ms=9, mew=2, clip_on=False, zorder=5)
    log_axis(axes, "x", *spread(_rates(widths)), X, _text)
    axes.set_ylabel(Y)
    axes.legend()
    return figure


def interactive(story: ReportData) -> go.Figure | None:
    """For the page; None without a tuning table."""
    widths = _widths(story)
    if not widths:
        return None
    figure = go.Figure()
    for colour, width in zip(budget_colours(len(widths)), widths, strict=True):
        figure.add_scatter(
            x=width.rate_K, y=width.above_K, mode="lines+markers", name=width.name, legendgroup=width.name,
            line={"color": colour, "width": 2}, marker={"size": 8, "line": {"color": "white", "width": 1}},
            hovertemplate="rate %{x:.4g}<br>+%{y:.4f} nats<extra>" + width.name + "</extra>",
        )  # fmt: skip
        if width.rule is not None:
            figure.add_scatter(
                x=[width.rule], y=[0], mode="markers", legendgroup=width.name, showlegend=False,
                marker={"symbol": "line-ns", "size": 14, "line": {"color": ACCENT, "width": 3}},
                hovertemplate="rule's rate %{x:.4g}<extra>" + width.name + "</extra>",
            )  # fmt: skip
    figure.add_hline(y=0, line={"color": INK, "width": 1})  # pyright: ignore[reportArgumentType]
    figure.update_layout(layout(380, xaxis=logarithmic(X, *spread(_rates(widths)), _text), yaxis=plain(Y)))
    return figure


def _rates(widths: list[Width]) -> np.ndarray:
    rules = [np.array([width.rule]) for width in widths if width.rule is not None]
    return np.concatenate([*(width.rate_K for width in widths), *rules])


def _text(rate: float) -> str:
    return f"{rate:g}"
