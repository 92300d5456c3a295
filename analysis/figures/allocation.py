"""N_opt and D_opt against compute: the minima, the power laws through them, and how far they can be drawn
out.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

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
    power,
    short,
    spread,
)

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData
    from isoflop.analysis.result import LawFit

TITLE = "Compute-optimal size and data"
X = "Training compute C (FLOPs)"
LABELS = ("Optimal parameters N", "Optimal tokens D")
BEYOND = 10.0
"""The lines go on to this multiple of the largest budget."""
DRAWS = 150


def caption(story: ReportData) -> str:
    """What the figure shows, and by which curve the minima were found."""
    opened = any(m.open_low or m.open_high for m in minima(story, "N"))
    arrows = " An arrow marks an end of an interval that the runs leave open." if opened else ""
    curve = f"; minima of {curve_words(story.options.curve)}" if story.parabolas else ""
    diamonds = f" Diamonds: IsoFLOP minima with 95% intervals{curve}.{arrows}" if minima(story, "N") else ""
    drawn = _fits(story)
    lines = {
        2: " Solid line: the power law through minima (approach 2).",
        3: " Dashed line: the fitted surface's own optimum (approach 3).",
    }
    bands = f" Bands: {story.options.level:.0%} bootstrap intervals." if story.fit.intervals else ""
    return (
        "The best size (first) and the best number of tokens (second) at each budget."
        f"{diamonds}{''.join(lines[fit.approach] for fit, *_ in drawn)}{bands} Beyond the dotted rule, which "
        f"stands at the largest budget, everything up to {BEYOND:g} times it is extrapolation."
    )


def _budgets(story: ReportData) -> np.ndarray:
    low, high = story.fit.conventions.flops_range
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a budget without a finite draw has no band
            low, high = np.nanquantile(np.where(np.isfinite(drawn), drawn, np.nan), tails, axis=0)
        lines.append((values[0], low, high))
    return lines


def _fits(story: ReportData) -> list[tuple[LawFit, str, str, str]]:
    """(fit, name, colour, dash) of the lines to draw."""
    fits = [(story.fit, "fitted surface (approach 3)", ACCENT, "dash")]
    if story.parabolas is not None and np.isfinite(story.parabolas.params_P[:4]).all():
        fits.insert(0, (story.parabolas, "power law through minima (approach 2)", INK, "solid"))
    return [
        item for item in fits if np.isfinite(item[0].optimum(_budgets(story)[:1], item[0].params_P)).all()
    ]


@dataclass(frozen=True)
class Minimum:
    """One budget's minimum: parameters or tokens, its interval, and which ends of it the runs leave open."""

    C: float
    value: float
    low: float
    high: float
    open_low: bool
    open_high: bool
    colour: str


def minima(story: ReportData, wanted: str) -> list[Minimum]:
    """The minima that the runs bracket. `wanted`: N or D. An open end is put at the budget's last size."""
    budgets = story.parabolas.budgets if story.parabolas and story.parabolas.budgets else ()
    colours = budget_colours(len(story.groups))
    found = []
    for budget, group, colour in zip(budgets, story.groups, colours, strict=False):
        if budget.n_opt is None or budget.d_opt is None:
            continue
        n_low, n_high = budget.n_interval or (budget.n_opt, budget.n_opt)
        sizes = story.table.N_R[group.rows]
        ends = (n_low or float(sizes.min()), n_high or float(sizes.max()))
        if wanted == "N":
            found.append(Minimum(budget.flops, budget.n_opt, *ends, n_low is None, n_high is None, colour))
        else:  # many parameters are few tokens: the ends change sides
            low, high = (float(budget.flops / story.fit.cost(np.array(end))) for end in ends[::-1])
            found.append(
                Minimum(budget.flops, budget.d_opt, low, high, n_high is None, n_low is None, colour)
            )
    return found


def static(story: ReportData, new: NewAxes = canvas) -> Figure | None:
    """For print; None where neither approach has an optimum."""
    fits = _fits(story)
    if not fits:
        return None
    C_K, edge = _budgets(story), story.fit.conventions.flops_range[1]
    figure, panels = new(9.0, 4.1, columns=2)
    spans: list[list[float]] = [[], []]
    for fit, name, colour, dash in fits:
        for k, (line, low, high) in enumerate(_lines(fit, C_K, story.options.level)):
            panels[k].fill_between(C_K, low, high, color=colour, alpha=0.13, lw=0)
            panels[k].plot(C_K, line, color=colour, lw=1.7, ls="--" if dash == "dash" else "-", label=name)
            spans[k] += [float(np.nanmin(line)), float(np.nanmax(line))]
    for panel, wanted in zip(panels, "ND", strict=True):
        for m in minima(story, wanted):
            panel.plot([m.C, m.C], [m.low, m.high], color=m.colour, lw=1.4)
            for end, is_open, marker in ((m.low, m.open_low, "v"), (m.high, m.open_high, "^")):
                if is_open:
                    panel.plot(m.C, end, marker, color=m.colour, ms=5, mec="none")
            panel.plot(m.C, m.value, "D", color=m.colour, ms=6, mec="white", mew=0.8, zorder=5)
    for k, panel in enumerate(panels):
        panel.axvline(edge, color=INK, lw=0.9, ls=":")
        log_axis(panel, "x", C_K[0], C_K[-1], X, power)
        log_axis(panel, "y", *spread(spans[k], 0.1), LABELS[k])
    panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def interactive(story: ReportData) -> go.Figure | None:
    """For the page; None where neither approach has an optimum."""
    fits = _fits(story)
    if not fits:
        return None
    C_K, edge = _budgets(story), story.fit.conventions.flops_range[1]
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


def _add_minima(figure: go.Figure, story: ReportData) -> None:
    for column, wanted in enumerate("ND", start=1):
        found = minima(story, wanted)
        _add_open_ends(figure, found, column)
        if found:
            figure.add_trace(_diamonds(found, column == 1), 1, column)


def _add_open_ends(figure: go.Figure, found: list[Minimum], column: int) -> None:
    ends = [(m.C, m.low, "triangle-down") for m in found if m.open_low]
    ends += [(m.C, m.high, "triangle-up") for m in found if m.open_high]
    figure.add_scatter(
        x=[end[0] for end in ends],
        y=[end[1] for end in ends],
        mode="markers",
        marker={"symbol": [end[2] for end in ends], "size": 9, "color": INK},
        legendgroup="minima",
        showlegend=False,
        hoverinfo="skip",
        row=1,
        col=column,
    )


def _diamonds(found: list[Minimum], first: bool) -> go.Scatter:
    value = np.array([m.value for m in found])
    return go.Scatter(
        x=[m.C for m in found],
        y=value,
        mode="markers",
        name="IsoFLOP minimum",
        showlegend=first,
        legendgroup="minima",
        marker={
            "symbol": "diamond",
            "size": 11,
            "color": [m.colour for m in found],
            "line": {"color": "white", "width": 1.2},
        },
        error_y={
            "type": "data",
            "symmetric": False,
            "array": np.array([m.high for m in found]) - value,
            "arrayminus": value - np.array([m.low for m in found]),
            "thickness": 1.4,
            "width": 0,
            "color": INK,
        },
        customdata=[
            [
                power(m.C),
                short(m.value),
                "open" if m.open_low else short(m.low),
                "open" if m.open_high else short(m.high),
            ]
            for m in found
        ],
        hovertemplate="C = %{customdata[0]}<br>%{customdata[1]} (%{customdata[2]} to %{customdata[3]})"
        "<extra></extra>",
    )
