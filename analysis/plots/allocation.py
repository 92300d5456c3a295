"""N_opt and D_opt against compute: the minima, the power laws through them, and how far they can be drawn
out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from analysis.plots.style import (
    ACCENT,
    INK,
    band,
    budget_colours,
    canvas,
    layout,
    log_axis,
    logarithmic,
    power,
    short,
    spread,
)

if TYPE_CHECKING:
    from analysis.reporting.story import Story
    from analysis.result import LawFit

TITLE = "Compute-optimal size and data"
X = "Training compute C (FLOPs)"
LABELS = ("Optimal parameters N", "Optimal tokens D")
BEYOND = 10.0
"""The lines go on to this multiple of the largest budget."""
DRAWS = 150


def caption(story: Story) -> str:
    """What the figure shows."""
    return (
        "The best size (left) and the best number of tokens (right) at each budget. Diamonds: "
        "IsoFLOP minima with 95% "
        "intervals. Dark line: the power law through them (approach 2). Red dashed line: the fitted "
        "surface's own "
        "optimum (approach 3). Bands are 95% bootstrap intervals; right of the dotted rule, up to "
        f"{BEYOND:g} times "
        "the largest budget, everything is extrapolation."
    )


def _budgets(story: Story) -> np.ndarray:
    low, high = story.fit.conventions["flops_range"]
    return np.geomspace(low / 1.3, high * BEYOND, 32)


def _lines(fit: LawFit, C_K: np.ndarray, level: float) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(centre, low, high) of N_opt and of D_opt over C_K."""
    draws = fit.draws_BxP[:DRAWS]
    params = np.vstack([fit.params_P, draws]) if len(draws) else fit.params_P[None]
    N_BxK = fit.optimum(C_K, params)
    D_BxK = C_K / fit.cost(N_BxK)
    tails = [(1 - level) / 2, (1 + level) / 2]
    lines = []
    for values in (N_BxK, D_BxK):
        drawn = values[1:] if len(values) > 1 else values
        with np.errstate(all="ignore"):
            low, high = np.nanquantile(np.where(np.isfinite(drawn), drawn, np.nan), tails, axis=0)
        lines.append((values[0], low, high))
    return lines


def _fits(story: Story) -> list[tuple[LawFit, str, str, str]]:
    """(fit, name, colour, dash) of the lines to draw."""
    fits = [(story.fit, "fitted surface (approach 3)", ACCENT, "dash")]
    if story.parabolas is not None and np.isfinite(story.parabolas.params_P[:4]).all():
        fits.insert(0, (story.parabolas, "power law through minima (approach 2)", INK, "solid"))
    return [
        item for item in fits if np.isfinite(item[0].optimum(_budgets(story)[:1], item[0].params_P)).all()
    ]


def _minima(story: Story) -> list[tuple[int, float, float, float, tuple[float, float]]]:
    """(budget number, C, N_opt, D_opt, interval of N_opt)."""
    budgets = story.parabolas.budgets if story.parabolas and story.parabolas.budgets else ()
    found = []
    for g, b in enumerate(budgets):
        if b.n_opt is not None and b.d_opt is not None:
            low, high = b.n_interval or (None, None)
            found.append((g, b.flops, b.n_opt, b.d_opt, (low or b.n_opt, high or b.n_opt)))
    return found


def static(story: Story) -> Figure | None:
    """For print; None where neither approach has an optimum."""
    fits = _fits(story)
    if not fits:
        return None
    C_K, edge = _budgets(story), story.fit.conventions["flops_range"][1]
    colours = budget_colours(len(story.groups))
    figure, panels = canvas(9.0, 4.1, columns=2)
    spans: list[list[float]] = [[], []]
    for fit, name, colour, dash in fits:
        for k, (line, low, high) in enumerate(_lines(fit, C_K, story.options.level)):
            panels[k].fill_between(C_K, low, high, color=colour, alpha=0.13, lw=0)
            panels[k].plot(C_K, line, color=colour, lw=1.7, ls="--" if dash == "dash" else "-", label=name)
            spans[k] += [float(np.nanmin(line)), float(np.nanmax(line))]
    for g, C, N, D, (low, high) in _minima(story):
        shown = story.fit.cost
        d_low, d_high = C / shown(np.array([high, low]))
        for panel, value, ends in ((panels[0], N, (low, high)), (panels[1], D, (d_low, d_high))):
            panel.plot([C, C], ends, color=colours[g], lw=1.4)
            panel.plot(C, value, "D", color=colours[g], ms=6, mec="white", mew=0.8, zorder=5)
    for k, panel in enumerate(panels):
        panel.axvline(edge, color=INK, lw=0.9, ls=":")
        log_axis(panel, "x", C_K[0], C_K[-1], X, power)
        log_axis(panel, "y", *spread(spans[k], 0.1), LABELS[k])
    panels[0].legend(loc="lower right")
    return figure


def interactive(story: Story) -> go.Figure | None:
    """For the page; None where neither approach has an optimum."""
    fits = _fits(story)
    if not fits:
        return None
    C_K, edge = _budgets(story), story.fit.conventions["flops_range"][1]
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.11)
    spans: list[list[float]] = [[], []]
    for fit, name, colour, dash in fits:
        for k, (line, low, high) in enumerate(_lines(fit, C_K, story.options.level)):
            figure.add_trace(band(C_K, low, high, colour, 0.13, legendgroup=name, showlegend=False), 1, k + 1)
            figure.add_scatter(
                x=C_K, y=line, mode="lines", name=name, legendgroup=name, showlegend=k == 0,
                line={"color": colour, "width": 2.2, "dash": dash}, row=1, col=k + 1,
                customdata=[[power(c), short(v)] for c, v in zip(C_K, line, strict=True)],
                hovertemplate="C = %{customdata[0]}<br>" + LABELS[k] + " = %{customdata[1]}<extra></extra>",
            )  # fmt: skip
            spans[k] += [float(np.nanmin(line)), float(np.nanmax(line))]
    _add_minima(figure, story)
    for k in range(2):
        figure.add_vline(x=edge, line={"color": INK, "width": 1, "dash": "dot"}, row=1, col=k + 1)  # pyright: ignore[reportArgumentType]
        figure.update_xaxes(logarithmic(X, C_K[0], C_K[-1], power), row=1, col=k + 1)
        figure.update_yaxes(logarithmic(LABELS[k], *spread(spans[k], 0.1)), row=1, col=k + 1)
    figure.update_layout(layout(440), legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"})
    figure.update_layout(margin={"t": 50})
    return figure


def _add_minima(figure: go.Figure, story: Story) -> None:
    colours = budget_colours(len(story.groups))
    minima = _minima(story)
    if not minima:
        return
    C = [m[1] for m in minima]
    low_n, high_n = np.array([m[4] for m in minima]).T
    cost = story.fit.cost
    sets = ((1, np.array([m[2] for m in minima]), low_n, high_n),
            (2, np.array([m[3] for m in minima]), C / cost(high_n), C / cost(low_n)))  # fmt: skip
    for column, value, low, high in sets:
        figure.add_scatter(
            x=C,
            y=value,
            mode="markers",
            name="IsoFLOP minimum",
            showlegend=column == 1,
            legendgroup="minima",
            marker={
                "symbol": "diamond",
                "size": 11,
                "color": [colours[m[0]] for m in minima],
                "line": {"color": "white", "width": 1.2},
            },
            error_y={
                "type": "data",
                "symmetric": False,
                "array": high - value,
                "arrayminus": value - low,
                "thickness": 1.4,
                "width": 0,
                "color": INK,
            },
            customdata=[
                [power(c), short(v), short(a), short(b)]
                for c, v, a, b in zip(C, value, low, high, strict=True)
            ],
            hovertemplate="C = %{customdata[0]}<br>%{customdata[1]} (%{customdata[2]} to %{customdata[3]})"
            "<extra></extra>",
            row=1,
            col=column,
        )
