"""One function a figure of the report, for notebooks: each draws on axes of yours, or on new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from isoflop.analysis.api import Runs
from isoflop.analysis.figures.figure_data import FigureData
from isoflop.analysis.figures.style import RC
from isoflop.analysis.inputs import as_table, fit_options
from isoflop.analysis.reporting.report import Report
from isoflop.analysis.reporting.report_data import FIGURES, analyze
from isoflop.analysis.result import LawFit
from isoflop.base.errors import UserError

Where = Axes | Sequence[Axes] | None
Drawn = Axes | list[Axes]


def plot_isoflops(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Loss against size at each budget, the curve through it and its minimum. Returns the axes.

    As with every function here: `runs` is what `fit` takes, or a `Report`, of which nothing is fitted anew;
    `ax` is where to draw (a new figure by default); `options` are those of `fit`. Raises `UserError` where
    the runs have nothing for the figure to show.
    """
    return _draw("isoflop", runs, ax, options)[0]


def plot_allocation(
    runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any
) -> list[Axes]:
    """N_opt and D_opt against compute, by approaches 2 and 3: two axes."""
    return _draw("allocation", runs, ax, options, fit)


def plot_surface(runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any) -> Axes:
    """The fitted loss over N and D, the runs, and the efficient frontier."""
    return _draw("surface", runs, ax, options, fit)[0]


def plot_residuals(
    runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any
) -> list[Axes]:
    """What the fit leaves over, against N and against D/N: two axes."""
    return _draw("residuals", runs, ax, options, fit)


def plot_heldout(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """The largest budget (or those from `holdout` on) as predicted from the smaller ones, and as measured."""
    return _draw("heldout", runs, ax, options)[0]


def plot_competition(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Errors of laws and baselines on the largest budget, fitted below it."""
    return _draw("competition", runs, ax, options)[0]


def plot_profiles(
    runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any
) -> list[Axes]:
    """How the objective rises about the fit, a parameter an axes."""
    return _draw("profiles", runs, ax, options, fit)


def plot_curves(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Training loss against tokens of every run of a sweep's folder."""
    return _draw("curves", runs, ax, options)[0]


def plot_tuning(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Loss against learning rate at each width that a sweep tuned at."""
    return _draw("tuning", runs, ax, options)[0]


def plot_data(ax: Drawn) -> pd.DataFrame:
    """What axes show, a row a point: `axes` (from 0), `series` (its name, or kind and number), `x`, `y`."""
    rows: list[tuple[int, str, float, float]] = []
    for number, each in enumerate([ax] if isinstance(ax, Axes) else ax):
        bands = [artist for artist in each.collections if isinstance(artist, PolyCollection)]
        points = [("line", line.get_label(), line.get_xydata()) for line in each.lines]
        points += [("band", band.get_label(), band.get_paths()[0].vertices) for band in bands]
        for k, (kind, label, points_Px2) in enumerate(points):
            # A label that begins with _ is kept out of the legend; _child is matplotlib's own.
            series = f"{kind} {k}" if str(label).startswith("_child") else str(label).removeprefix("_")
            rows += [(number, series, float(x), float(y)) for x, y in np.asarray(points_Px2)]
    return pd.DataFrame(rows, columns=pd.Index(["axes", "series", "x", "y"]))


def _draw(
    name: str, runs: Any, ax: Where, options: dict[str, Any], given: LawFit | None = None
) -> list[Axes]:
    """Draw a report's figure of this name."""
    public = "plot_isoflops" if name == "isoflop" else f"plot_{name}"
    if isinstance(runs, Report):
        data = runs.data
    else:
        data = analyze(as_table(runs), fit_options(None, options, public), given=given)
    figure = FIGURES[name](data)
    if figure is None:
        raise UserError(f"{data.table.source} has nothing for {public} to show: see docs/report.md")
    with matplotlib.rc_context(RC):
        axes = _new(figure) if ax is None else [ax] if isinstance(ax, Axes) else list(ax)
        if len(axes) != figure.size.panels or not all(isinstance(each, Axes) for each in axes):
            raise UserError(f"{public} draws on {figure.size.panels} axes: give as many as ax")
        figure.draw(axes)
        if axes[0].get_legend_handles_labels()[0]:
            axes[0].legend(title=figure.legend_title or None)
    return axes


def _new(figure: FigureData) -> list[Axes]:
    """Axes of a figure that a notebook shows at the end of its cell."""
    panels, width, height, *_ = figure.size
    _, axes = plt.subplots(1, panels, figsize=(width, height), layout="constrained", squeeze=False)
    return list(axes[0])
