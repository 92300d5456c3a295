"""One function a figure of the report, for notebooks: each draws on axes of yours, or on new ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isoflop.analysis.api import Runs
from isoflop.analysis.approaches.fit import fit as fit_table
from isoflop.analysis.approaches.holdout import largest_budget
from isoflop.analysis.comparison.competition import compete
from isoflop.analysis.figures import FIGURES
from isoflop.analysis.figures.style import RC
from isoflop.analysis.inputs import as_table, fit_options
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.options import FitOptions
from isoflop.analysis.reporting.certainty import law_profiles
from isoflop.analysis.reporting.report import Report
from isoflop.analysis.reporting.report_data import RIVALS, ReportData
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
    return _one("isoflop", runs, ax, options, parabolas=True)


def plot_allocation(
    runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any
) -> list[Axes]:
    """N_opt and D_opt against compute, by approaches 2 and 3: two axes."""
    return _draw("allocation", runs, ax, options, fit=fit or True, parabolas=True)


def plot_surface(runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any) -> Axes:
    """The fitted loss over N and D, the runs, and the efficient frontier."""
    return _one("surface", runs, ax, options, fit=fit or True)


def plot_residuals(
    runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any
) -> list[Axes]:
    """What the fit leaves over, against N and against D: two axes."""
    return _draw("residuals", runs, ax, options, fit=fit or True)


def plot_heldout(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """The largest budget (or those from `holdout` on) as predicted from the smaller ones, and as measured."""
    return _one("heldout", runs, ax, options, fit=True, held=True)


def plot_competition(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Errors of laws and baselines on the largest budget, fitted below it."""
    return _one("competition", runs, ax, options, competition=True)


def plot_profiles(
    runs: Runs | Report, ax: Where = None, fit: LawFit | None = None, **options: Any
) -> list[Axes]:
    """How the objective rises about the fit, a parameter an axes."""
    return _draw("profiles", runs, ax, options, fit=fit or True, profiles=True)


def plot_curves(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Training loss against tokens of every run of a sweep's folder."""
    return _one("curves", runs, ax, options)


def plot_tuning(runs: Runs | Report, ax: Where = None, **options: Any) -> Axes:
    """Loss against learning rate at each width that a sweep tuned at."""
    return _one("tuning", runs, ax, options)


def plot_data(ax: Drawn) -> pd.DataFrame:
    """What axes show, a row a point: `axes` (from 0), `series` (a label, or a kind and number), `x`, `y`."""
    rows: list[tuple[int, str, float, float]] = []
    for number, each in enumerate([ax] if isinstance(ax, Axes) else ax):
        for kind, artists in (("line", each.lines), ("points", each.collections)):
            for k, artist in enumerate(artists):
                label = str(artist.get_label())
                series = f"{kind} {k}" if label.startswith("_") else label
                points = artist.get_xydata() if kind == "line" else artist.get_offsets()
                rows += [(number, series, float(x), float(y)) for x, y in points]
    return pd.DataFrame(rows, columns=pd.Index(["axes", "series", "x", "y"]))


def _one(figure: str, *arguments: Any, **wanted: Any) -> Axes:
    return _draw(figure, *arguments, **wanted)[0]


def _draw(figure: str, runs: Any, ax: Where, options: dict[str, Any], **wanted: Any) -> list[Axes]:
    story = runs.story if isinstance(runs, Report) else _story(runs, options, **wanted)
    axes: list[Axes] = []

    def new(width: float = 7.4, height: float = 4.5, columns: int = 1) -> tuple[Figure, list[Axes]]:
        axes.extend(_given(ax, columns, figure) if ax is not None else _new(width, height, columns))
        return axes[0].get_figure(root=True), axes  # pyright: ignore[reportReturnType]  # axes that are drawn on have one

    with matplotlib.rc_context(RC):
        if FIGURES[figure].static(story, new) is None:
            raise UserError(
                f"{story.table.source} has nothing for plot_{_public(figure)} to show: see docs/report.md"
            )
    return axes


def _public(figure: str) -> str:
    return {"isoflop": "isoflops"}.get(figure, figure)


def _given(ax: Axes | Sequence[Axes], columns: int, figure: str) -> list[Axes]:
    given = [ax] if isinstance(ax, Axes) else list(ax)
    if len(given) != columns or not all(isinstance(each, Axes) for each in given):
        raise UserError(f"plot_{_public(figure)} draws on {columns} axes: give as many as ax")
    return given


def _new(width: float, height: float, columns: int) -> list[Axes]:
    """Axes of a figure that a notebook shows at the end of its cell."""
    _, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False)
    return list(axes[0])


def _story(
    runs: Any,
    named: dict[str, Any],
    fit: LawFit | bool = False,
    parabolas: bool = False,
    held: bool = False,
    competition: bool = False,
    profiles: bool = False,
) -> ReportData:
    """What a figure draws, and of the rest of a report nothing."""
    table = as_table(runs)
    options = fit_options(None, named, "plot")
    table = table.counted(options.count or table.conventions.count, options.flops or table.conventions.flops)
    plain = dataclasses.replace(options, holdout=None)
    whole = fit if isinstance(fit, LawFit) else fit_table(table, plain) if fit else None
    below = dataclasses.replace(options, holdout=options.holdout or largest_budget(table))
    known: dict[str, Any] = {
        "table": table,
        "options": plain,
        "fit": whole,
        "parabolas": _by_parabolas(table, plain) if parabolas else None,
        "groups": tuple(isoflop_groups(table)),
        "held": fit_table(table, below) if held and below.holdout else None,
        "competition": compete(table, below, RIVALS) if competition and below.holdout else None,
        "profiles": law_profiles(table, plain, whole) if profiles and whole else None,
        "sweep": read_sweep(table),
    }
    empty = {
        field.name: () if "tuple" in str(field.type) else None for field in dataclasses.fields(ReportData)
    }
    return ReportData(**{**empty, **known})


def _by_parabolas(table: RunTable, options: FitOptions) -> LawFit | None:
    try:
        return fit_table(table, dataclasses.replace(options, approach=2))
    except UserError:
        return None  # no IsoFLOP groups
