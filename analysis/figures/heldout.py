"""The largest budget, predicted from the smaller ones alone."""

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
    band,
    budget_colours,
    canvas,
    curve_words,
    layout,
    log_axis,
    logarithmic,
    loss_unit,
    nats,
    plain,
    power,
    short,
    spread,
)

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData
    from isoflop.analysis.scores import HeldOutMinimum

TITLE = "Held out and predicted"
X = "Parameters N"


@dataclass(frozen=True)
class Shown:
    """Held-out runs, and the prediction for their budget over sizes N_K with its predictive band."""

    N_R: np.ndarray
    loss_R: np.ndarray
    N_K: np.ndarray
    loss_K: np.ndarray
    low_K: np.ndarray
    high_K: np.ndarray
    optimum: HeldOutMinimum
    colour: str


def caption(story: ReportData) -> str:
    """What the figure shows, with the error in nats."""
    held = story.held.holdout if story.held else None
    if held is None:
        return ""
    best = held.optimum
    held_curve = best.curve if best else story.options.curve
    level = f"{story.options.level:.0%}"
    scored = f"mean absolute error {held.mean_abs_error:.4f}{nats(story.table.conventions)}"
    if held.coverage is not None:
        inside = round(held.coverage * held.n_held_out)
        scored += f", {inside} of {held.n_held_out} within their {level} predictive intervals"
    band = (
        f", with its {level} predictive band: bootstrap of the fit plus run noise" if _banded(story) else ""
    )
    minima = (
        f"Diamonds: the predicted minimum (open) and the runs' own (filled, by {curve_words(held_curve)})."
        if best and best.n_opt is not None
        else "Diamond: the predicted minimum; the runs themselves bracket none."
    )
    return (
        f"The surface fitted to the {held.n_fit} runs below {power(held.c_min)} FLOPs (line{band}) "
        f"against runs from there up, which it has not seen. Of those {held.n_held_out}: {scored}. "
        f"{minima}"
    )


def _banded(story: ReportData) -> bool:
    return story.held is not None and len(story.held.draws_BxP) > 0


def _shown(story: ReportData) -> Shown | None:
    held = story.held.holdout if story.held else None
    if story.held is None or held is None or not held.rows or held.optimum is None:
        return None
    top = held.optimum.flops
    rows = [row for row in held.rows if abs(np.log(row.flops / top)) < 0.05]
    N_R, loss_R = (np.array([getattr(row, name) for row in rows]) for name in ("n_params", "loss"))
    N_K = np.geomspace(*spread(N_R, 0.08), num=80)
    D_K = top / story.fit.cost(N_K)
    loss_K = story.held.predict(N_K, D_K)
    draws = story.held.draws_BxP
    low, high = loss_K, loss_K
    if len(draws):
        rng = np.random.default_rng(story.options.seed)
        noise = held.noise_log_sd * rng.standard_normal((len(draws), 1))
        drawn = story.held.losses(draws, N_K, D_K) * np.exp(noise)
        low, high = np.quantile(drawn, [(1 - story.options.level) / 2, (1 + story.options.level) / 2], axis=0)
    colour = budget_colours(len(story.groups))[-1] if story.groups else INK
    return Shown(N_R, loss_R, N_K, loss_K, low, high, held.optimum, colour)


def _label(story: ReportData) -> str:
    return f"Loss ({loss_unit(story.table.conventions)})"


def static(story: ReportData, new: NewAxes = canvas) -> Figure | None:
    """For print; None without a held-out IsoFLOP."""
    shown = _shown(story)
    if shown is None:
        return None
    figure, (axes,) = new(6.2, 4.2)
    axes.fill_between(
        shown.N_K, shown.low_K, shown.high_K, color=ACCENT, alpha=0.14, lw=0, label="95% predictive"
    )
    axes.plot(shown.N_K, shown.loss_K, color=ACCENT, lw=1.8, label="predicted from smaller budgets")
    axes.plot(
        shown.N_R, shown.loss_R, "o", color=shown.colour, mec=INK, mew=0.6, ms=6, label="runs, held out"
    )
    best = shown.optimum
    axes.plot(
        best.n_opt_predicted,
        best.loss_opt_predicted,
        "D",
        mfc="white",
        mec=ACCENT,
        mew=1.6,
        ms=7,
        label="predicted minimum",
    )
    if best.n_opt is not None:
        axes.plot(
            best.n_opt,
            best.loss_opt,
            "D",
            color=INK,
            ms=7,
            mec="white",
            mew=0.8,
            label="the runs' own minimum",
        )
    log_axis(axes, "x", float(shown.N_K[0]), float(shown.N_K[-1]), X)
    axes.set_ylabel(_label(story))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def interactive(story: ReportData) -> go.Figure | None:
    """For the page; None without a held-out IsoFLOP."""
    shown = _shown(story)
    if shown is None:
        return None
    best = shown.optimum
    figure = go.Figure()
    figure.add_trace(
        band(shown.N_K, shown.low_K, shown.high_K, ACCENT, 0.14, name=f"{story.options.level:.0%} predictive")
    )
    figure.add_scatter(x=shown.N_K, y=shown.loss_K, mode="lines", name="predicted from smaller budgets",
                       line={"color": ACCENT, "width": 2.2}, hoverinfo="skip")  # fmt: skip
    figure.add_scatter(
        x=shown.N_R,
        y=shown.loss_R,
        mode="markers",
        name="runs, held out",
        marker={"size": 10, "color": shown.colour, "line": {"color": INK, "width": 1}},
        customdata=[short(n) for n in shown.N_R],
        hovertemplate="N = %{customdata}<br>loss %{y:.4f}<extra>run</extra>",
    )
    figure.add_scatter(
        x=[best.n_opt_predicted], y=[best.loss_opt_predicted], mode="markers", name="predicted minimum",
        marker={"symbol": "diamond", "size": 12, "color": "white", "line": {"color": ACCENT, "width": 2}},
        hovertemplate="predicted minimum<br>loss %{y:.4f}<extra></extra>",
    )  # fmt: skip
    if best.n_opt is not None:
        figure.add_scatter(
            x=[best.n_opt], y=[best.loss_opt], mode="markers", name="the runs' own minimum",
            marker={"symbol": "diamond", "size": 12, "color": INK, "line": {"color": "white", "width": 1}},
            hovertemplate="own minimum<br>loss %{y:.4f}<extra></extra>",
        )  # fmt: skip
    axis = logarithmic(X, float(shown.N_K[0]), float(shown.N_K[-1]))
    figure.update_layout(layout(430, xaxis=axis, yaxis=plain(_label(story))))
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 50}
    )
    return figure
