"""One function a figure of the report, for notebooks: each draws on axes of yours, or on new ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from isoflop.analysis.api import Runs
from isoflop.analysis.approaches.fit import fit as fit_table
from isoflop.analysis.approaches.holdout import largest_budget
from isoflop.analysis.comparison.competition import compete
from isoflop.analysis.figures.allocation import Allocation
from isoflop.analysis.figures.competition import HeldOutErrors
from isoflop.analysis.figures.curves import TrainingCurves
from isoflop.analysis.figures.figure_data import FigureData
from isoflop.analysis.figures.heldout import HeldOutBudget
from isoflop.analysis.figures.isoflop import IsoflopCurves
from isoflop.analysis.figures.profiles import ObjectiveProfiles
from isoflop.analysis.figures.residuals import Residuals
from isoflop.analysis.figures.style import RC, nats
from isoflop.analysis.figures.surface import Surface
from isoflop.analysis.figures.tuning import Tuning
from isoflop.analysis.inputs import as_table, fit_options
from isoflop.analysis.options import FitOptions
from isoflop.analysis.reporting.certainty import law_profiles
from isoflop.analysis.reporting.report import Report
from isoflop.analysis.reporting.report_data import RIVALS
from isoflop.analysis.reporting.sensitivity import attempt
from isoflop.analysis.reporting.sweep_folder import read_sweep
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import RunTable
from isoflop.base.errors import UserError

Where = Axes | Sequence[Axes] | None
Drawn = Axes | list[Axes]


def plot_isoflops(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Loss against size at each budget, the curve through it and its minimum. Returns the axes.

    As with every function here: `runs` is what `fit` takes, or a `Report`, of which nothing is fitted anew;
    `ax` is where to draw (a new figure by default); `options` are those of `fit`. Raises `UserError` where
    the runs have nothing for the figure to show.
    """

    def make(table: RunTable, options: FitOptions) -> FigureData | None:
        return IsoflopCurves.of(table, _parabolas(table, options))

    return _draw("isoflop", make, runs, ax, options)[0]


def plot_allocation(
    runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any
) -> list[Axes]:
    """N_opt and D_opt against compute, by approaches 2 and 3: two axes."""

    def make(table: RunTable, options: FitOptions) -> FigureData | None:
        return Allocation.of(table, fit or _fit(table, options), _parabolas(table, options), options.level)

    return _draw("allocation", make, runs, ax, options)


def plot_surface(runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any) -> Axes:
    """The fitted loss over N and D, the runs, and the efficient frontier."""
    return _draw("surface", lambda t, o: Surface.of(t, fit or _fit(t, o)), runs, ax, options)[0]


def plot_residuals(
    runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any
) -> list[Axes]:
    """What the fit leaves over, against N and against D/N: two axes."""
    return _draw("residuals", lambda t, o: Residuals.of(t, fit or _fit(t, o)), runs, ax, options)


def plot_heldout(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """The largest budget (or those from `holdout` on) as predicted from the smaller ones, and as measured."""

    def make(table: RunTable, options: FitOptions) -> FigureData | None:
        below = _below(table, options)
        return HeldOutBudget.of(table, fit_table(table, below) if below.holdout else None, below)

    return _draw("heldout", make, runs, ax, options)[0]


def plot_competition(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Errors of laws and baselines on the largest budget, fitted below it."""

    def make(table: RunTable, options: FitOptions) -> FigureData | None:
        below = _below(table, options)
        found = compete(table, below, RIVALS) if below.holdout else None
        return HeldOutErrors.of(found, nats(table.conventions))

    return _draw("competition", make, runs, ax, options)[0]


def plot_profiles(
    runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any
) -> list[Axes]:
    """How the objective rises about the fit, a parameter an axes."""

    def make(table: RunTable, options: FitOptions) -> FigureData | None:
        whole = fit or _fit(table, options)
        return ObjectiveProfiles.of(law_profiles(table, options, whole), whole)

    return _draw("profiles", make, runs, ax, options)


def plot_curves(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Training loss against tokens of every run of a sweep's folder."""
    return _draw("curves", lambda t, o: TrainingCurves.of(t, read_sweep(t).curves), runs, ax, options)[0]


def plot_tuning(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Loss against learning rate at each width that a sweep tuned at."""

    def make(table: RunTable, options: FitOptions) -> FigureData | None:
        sweep = read_sweep(table)
        return Tuning.of(sweep.tuning, sweep.summary.get("learning_rate"))

    return _draw("tuning", make, runs, ax, options)[0]


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
    name: str,
    make: Callable[[RunTable, FitOptions], FigureData | None],
    runs: Any,
    ax: Where,
    named: dict[str, Any],
) -> list[Axes]:
    """Draw a report's figure of this name, or the one that `make` makes of a table and options."""
    public = "plot_isoflops" if name == "isoflop" else f"plot_{name}"
    if isinstance(runs, Report):
        table, figure = runs.data.table, runs.data.figures.get(name)
    else:
        table, options = as_table(runs), fit_options(None, named, "plot")
        table = table.counted(
            options.count or table.conventions.count, options.flops or table.conventions.flops
        )
        figure = make(table, options)
    if figure is None:
        raise UserError(f"{table.source} has nothing for {public} to show: see docs/report.md")
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


def _fit(table: RunTable, options: FitOptions) -> LawFit:
    """The fit of every run."""
    return fit_table(table, dataclasses.replace(options, holdout=None))


def _parabolas(table: RunTable, options: FitOptions) -> LawFit | None:
    """Approach 2's fit of every run; None without IsoFLOP groups."""
    return attempt(table, dataclasses.replace(options, holdout=None, approach=2))[0]


def _below(table: RunTable, options: FitOptions) -> FitOptions:
    """The options with a holdout: the largest budget unless they have one."""
    return dataclasses.replace(options, holdout=options.holdout or largest_budget(table))
