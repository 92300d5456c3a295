"""IsoFLOP curves: held-out loss against size at each budget, the parabola through it, and its minimum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from analysis.plots.style import (
    ACCENT,
    INK,
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
    from analysis.reporting.story import Story
    from analysis.result import Budget

TITLE = "IsoFLOP curves"
X = "Parameters N"
Y = "Held-out loss (nats per token)"


def caption(story: Story) -> str:
    """What the figure shows, with its count of good minima."""
    budgets = story.parabolas.budgets if story.parabolas and story.parabolas.budgets else ()
    good = sum(b.n_opt is not None for b in budgets)
    return (
        "Held-out loss of every run against its size, one colour a training budget. Lines are "
        "parabolas in log N by "
        f"least squares; diamonds mark their minima with 95% bootstrap intervals ({good} of "
        f"{len(budgets)} interior "
        f"and convex). N counts {story.table.conventions['count_meaning']}."
    )


def _curves(story: Story) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(budget number, sizes, loss on the parabola) over each group's own range of sizes."""
    budgets = story.parabolas.budgets if story.parabolas and story.parabolas.budgets else ()
    curves = []
    for g, (group, budget) in enumerate(zip(story.groups, budgets, strict=True)):
        sizes = story.table.N_R[group.rows]
        x = np.linspace(np.log(sizes.min()), np.log(sizes.max()), 60)
        c0, c1, c2 = budget.curve or (np.nan, np.nan, np.nan)
        curves.append((g, np.exp(x), c0 + c1 * x + c2 * x**2))
    return curves


def static(story: Story) -> Figure | None:
    """For print; None without IsoFLOP groups."""
    if not story.groups or story.parabolas is None:
        return None
    colours = budget_colours(len(story.groups))
    figure, (axes,) = canvas(7.4, 4.6)
    for g, sizes, loss in _curves(story):
        group, budget = story.groups[g], (story.parabolas.budgets or ())[g]
        axes.plot(sizes, loss, color=colours[g], lw=1.6)
        axes.plot(story.table.N_R[group.rows], story.table.loss_R[group.rows], "o", color=colours[g], ms=4.5,
                  mec="white", mew=0.6, label=power(group.flops))  # fmt: skip
        if budget.n_opt is None or budget.loss_opt is None:
            continue
        if budget.n_interval and budget.n_interval[0] and budget.n_interval[1]:
            axes.plot(
                [budget.n_interval[0], budget.n_interval[1]],
                [budget.loss_opt] * 2,
                color=INK,
                lw=1.1,
                solid_capstyle="butt",
            )
        axes.plot(budget.n_opt, budget.loss_opt, "D", color=ACCENT, ms=5.5, mec="white", mew=0.8, zorder=5)
    log_axis(axes, "x", *spread(story.table.N_R), X)
    axes.set_ylabel(Y)
    axes.legend(
        title="Budget C (FLOPs)",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        alignment="left",
        title_fontsize=9,
    )
    return figure


def interactive(story: Story) -> go.Figure | None:
    """For the page; None without IsoFLOP groups."""
    if not story.groups or story.parabolas is None:
        return None
    colours = budget_colours(len(story.groups))
    figure = go.Figure()
    for g, sizes, loss in _curves(story):
        group = story.groups[g]
        name = f"{power(group.flops)} FLOPs"
        figure.add_scatter(
            x=sizes,
            y=loss,
            mode="lines",
            line={"color": colours[g], "width": 2},
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
        )
        tokens = story.table.D_R[group.rows]
        figure.add_scatter(
            x=story.table.N_R[group.rows],
            y=story.table.loss_R[group.rows],
            mode="markers",
            name=name,
            legendgroup=name,
            marker={"color": colours[g], "size": 8, "line": {"color": "white", "width": 1}},
            customdata=np.stack(
                [[short(n) for n in story.table.N_R[group.rows]], [short(d) for d in tokens]], axis=1
            ),
            hovertemplate="N = %{customdata[0]}<br>D = %{customdata[1]} tokens<br>loss %{y:.4f}<extra>"
            + name
            + "</extra>",
        )
    _add_minima(figure, story.parabolas.budgets or ())
    figure.update_layout(
        layout(480, xaxis=logarithmic(X, *spread(story.table.N_R)), yaxis=plain(Y)),
        legend={"title": {"text": "Training budget C"}, "x": 1.01, "y": 1},
    )
    return figure


def _add_minima(figure: go.Figure, budgets: Sequence[Budget]) -> None:
    minima = [b for b in budgets if b.n_opt is not None]
    spans = [b.n_interval if b.n_interval and b.n_interval[0] else (b.n_opt, b.n_opt) for b in minima]
    figure.add_scatter(
        x=[b.n_opt for b in minima],
        y=[b.loss_opt for b in minima],
        mode="markers",
        name="minimum",
        marker={"symbol": "diamond", "size": 11, "color": ACCENT, "line": {"color": "white", "width": 1.2}},
        error_x={
            "type": "data",
            "symmetric": False,
            "color": INK,
            "thickness": 1.4,
            "width": 0,
            "array": [float(s[1] or 0) - float(b.n_opt or 0) for s, b in zip(spans, minima, strict=True)],
            "arrayminus": [
                float(b.n_opt or 0) - float(s[0] or 0) for s, b in zip(spans, minima, strict=True)
            ],
        },
        customdata=[
            f"{short(b.n_opt or 0)} ({short(s[0] or 0)} to {short(s[1] or 0)})"
            for s, b in zip(spans, minima, strict=True)
        ],
        hovertemplate="N_opt = %{customdata}<br>loss %{y:.4f}<extra>minimum</extra>",
    )
