"""IsoFLOP curves: held-out loss against size at each budget, the curve through it, and its minimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, marks, run_series, run_words
from isoflop.analysis.figures.style import ACCENT, CURVE_NAMES, INK, log_axis, spread
from isoflop.analysis.isoflops.minima import curve_through
from isoflop.base.formatting import power, short

if TYPE_CHECKING:
    from isoflop.analysis.isoflops.budget import Budget
    from isoflop.analysis.result import LawFit
    from isoflop.analysis.run_table import RunTable

POINTS = 120
WIDE = 2.0
"""Ratio of the largest to the smallest loss from which the axis is logarithmic: else the minima drown."""


@dataclass(frozen=True)
class Curve:
    """One budget: its runs, the curve through them, parameters and nats per token, and what was found."""

    budget: Budget
    colour: str
    N_R: np.ndarray
    loss_R: np.ndarray
    N_M: np.ndarray
    loss_M: np.ndarray
    run_words: list[str]

    @property
    def found(self) -> bool:
        """Whether the runs bracket a minimum."""
        return self.budget.n_opt is not None

    @property
    def bar(self) -> tuple[float, float, bool, bool]:
        """(low, high, low end is open, high end is open) of N_opt's interval; an open end is drawn to the
        last size.
        """
        low, high = self.budget.n_interval or (self.budget.n_opt, self.budget.n_opt)
        return low or float(self.N_R.min()), high or float(self.N_R.max()), low is None, high is None

    @property
    def why_none(self) -> str:
        """Why there is no minimum."""
        if not self.budget.convex:
            return "does not bend upwards"
        end = "smallest" if (self.budget.centring or 0.0) < 0 else "largest"
        return f"minimum at or beyond the {end} size"

    @property
    def minimum_words(self) -> str:
        """N_opt, its interval and its bias."""
        low, high, low_open, high_open = self.bar
        ends = ("open" if is_open else short(end) for end, is_open in ((low, low_open), (high, high_open)))
        bias = self.budget.bias_percent
        on_surface = "" if bias is None else f"\nbias of the curve on the fitted surface {bias:+.1f}%"
        return (
            f"N_opt = {short(self.budget.n_opt or 0)} ({' to '.join(ends)})\n"
            f"loss {self.budget.loss_opt or np.nan:.4f}{on_surface}"
        )


@dataclass(frozen=True)
class IsoflopCurves(FigureData):
    """Every budget's curve. `kind`: of the curve, as in `FitOptions.curve`."""

    title = "IsoFLOP curves"
    legend_title = "Budget C (FLOPs)"
    curves: tuple[Curve, ...]
    kind: str
    count_meaning: str
    loss_axis: str

    @classmethod
    def of(cls, table: RunTable, parabolas: LawFit | None) -> IsoflopCurves | None:
        """Make it from a table and approach 2's fit of it; None without IsoFLOP budgets."""
        if parabolas is None or not parabolas.budgets:
            return None
        return cls.through(table, parabolas.budgets, parabolas.conventions.curve or "parabola")

    @classmethod
    def through(cls, table: RunTable, budgets: Sequence[Budget], kind: str = "parabola") -> IsoflopCurves:
        """Make it from a table and its budgets, one or more, as `isoflop_budgets` finds them."""
        curves = []
        for series, budget in zip(run_series(table), budgets, strict=False):  # the rest: of no budget
            N_R, loss_R = table.N_R[series.rows], table.loss_R[series.rows]
            N_M = np.geomspace(N_R.min(), N_R.max(), POINTS)
            loss_M = curve_through(kind, N_R, loss_R, N_M)
            words = run_words(table, series.rows)
            curves.append(Curve(budget, series.colour, N_R, loss_R, N_M, loss_M, words))
        conventions = table.conventions
        return cls(tuple(curves), kind, conventions.count_meaning, conventions.axis)

    @property
    def caption(self) -> str:
        spans = [curve.budget.n_interval for curve in self.curves if curve.budget.n_interval is not None]
        bars = " with bars over their 95% bootstrap intervals" if set(spans) - {(None, None)} else ""
        good = sum(curve.found for curve in self.curves)
        without = "" if good == len(self.curves) else " Dashed: budgets whose runs bracket no minimum."
        arrows = " An arrow marks an end of an interval that the runs leave open."
        return (
            "Loss of every run against its size, one colour a training budget. Lines are "
            f"{CURVE_NAMES[self.kind]}; diamonds mark their minima{bars} ({good} of {len(self.curves)} "
            f"budget{'s have' if len(self.curves) != 1 else ' has'} one).{without}"
            f"{arrows if any(None in span for span in spans) else ''} N counts {self.count_meaning}."
        )

    @property
    def description(self) -> str:
        said = [
            f"{power(curve.budget.flops)} FLOPs: "
            + (
                f"minimum {curve.budget.loss_opt:.3f} at {short(curve.budget.n_opt)} parameters"
                if curve.budget.n_opt and curve.budget.loss_opt
                else curve.why_none
            )
            for curve in self.curves
        ]
        return f"{self.loss_axis} against parameters. {'; '.join(said)}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        hover = [entry for curve in self.curves for entry in self._draw_curve(ax, curve)]
        found = [curve for curve in self.curves if curve.found]
        for k, curve in enumerate(found):
            hover += _draw_minimum(ax, curve, labelled=k == 0)
        low, high, logarithmic = self._loss_limits()
        log_axis(ax, "x", *spread(np.concatenate([curve.N_R for curve in self.curves])), "Parameters N")
        if logarithmic:
            log_axis(ax, "y", low, high, self.loss_axis, "{:g}".format)
        else:
            ax.set_ylim(low, high)
            ax.set_ylabel(self.loss_axis)
        return hover

    def _draw_curve(self, ax: Axes, curve: Curve) -> Hover:
        name = power(curve.budget.flops)
        look: dict[str, Any] = {"lw": 1.7} if curve.found else {"lw": 1.2, "ls": (0, (4, 2.5)), "alpha": 0.75}
        ax.plot(curve.N_M, curve.loss_M, color=curve.colour, label=f"_{self.kind} {name}", **look)
        label = name if curve.found else f"{name}, no minimum"
        note = "" if curve.found else f"\n{curve.why_none}"
        words = [words + note for words in curve.run_words]
        return marks(ax, curve.N_R, curve.loss_R, words, label, curve.colour, size=5, hollow=not curve.found)

    def _loss_limits(self) -> tuple[float, float, bool]:
        """Limits of the loss axis, and whether it is logarithmic: for the runs and the minima, whatever a
        curve does between or beyond them.
        """
        minima = np.array([curve.budget.loss_opt for curve in self.curves if curve.found], dtype=float)
        values = np.concatenate([*(curve.loss_R for curve in self.curves), minima])
        if values.max() > WIDE * values.min():
            return *spread(values), True
        margin = max(0.06 * float(np.ptp(values)), 1e-3)
        return float(values.min()) - margin, float(values.max()) + margin, False


def _draw_minimum(ax: Axes, curve: Curve, labelled: bool) -> Hover:
    low, high, low_open, high_open = curve.bar
    n_opt, loss = float(curve.budget.n_opt or np.nan), float(curve.budget.loss_opt or np.nan)
    ax.plot([low, high], [loss, loss], color=INK, lw=1.2, solid_capstyle="butt", zorder=4, label="_interval")
    for end, is_open, marker in ((low, low_open, 4), (high, high_open, 5)):  # 4, 5: carets to the left, right
        if is_open:
            ax.plot(end, loss, marker=marker, color=INK, ms=5, mew=0, zorder=4, label="_open end")
    label = "minimum" if labelled else "_minimum"
    return marks(ax, n_opt, loss, [curve.minimum_words], label, ACCENT, "D")
