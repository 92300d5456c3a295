"""N_opt and D_opt against compute: the minima, the power laws through them, and how far they can be drawn
out.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, marks, run_series
from isoflop.analysis.figures.style import ACCENT, CURVE_NAMES, INK, log_axis, spread
from isoflop.base.formatting import power, short

if TYPE_CHECKING:
    from isoflop.analysis.result import LawFit
    from isoflop.analysis.run_table import RunTable

LABELS = ("Optimal parameters N", "Optimal tokens D")
BEYOND = 10.0
"""The lines go on to this multiple of the largest budget."""
DRAWS = 150


@dataclass(frozen=True)
class Line:
    """An approach's optimum over the budgets: parameters, then tokens (2xK), each with its band."""

    approach: int
    values_2xK: np.ndarray
    low_2xK: np.ndarray
    high_2xK: np.ndarray
    banded: bool


LOOK = {
    2: ("power law through minima (approach 2)", INK, "-"),
    3: ("fitted surface (approach 3)", ACCENT, "--"),
}
"""By approach: its name, colour and dash."""


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

    @property
    def words(self) -> str:
        """The minimum and its interval."""
        low = "open" if self.open_low else short(self.low)
        high = "open" if self.open_high else short(self.high)
        return f"C = {power(self.C)} FLOPs\n{short(self.value)} ({low} to {high})"


@dataclass(frozen=True)
class Allocation(FigureData):
    """Lines over the budgets C_K, FLOPs; minima in parameters, then in tokens."""

    title = "Compute-optimal size and data"
    C_K: np.ndarray
    largest: float
    """Budget, FLOPs."""
    lines: tuple[Line, ...]
    minima: tuple[tuple[Minimum, ...], tuple[Minimum, ...]]
    curve: str
    level: float

    @classmethod
    def of(
        cls, table: RunTable, fit: LawFit, parabolas: LawFit | None, level: float = 0.95
    ) -> Allocation | None:
        """Make it from approach 3's and approach 2's fit; None where neither has an optimum."""
        low, high = fit.conventions.flops_range
        C_K = np.geomspace(low / 1.3, high * BEYOND, 32)
        fits = [each for each in (parabolas, fit) if each is not None]
        lines = tuple(_line(each, C_K, level) for each in fits if _has_optimum(each, C_K))
        if not lines:
            return None
        curve = (parabolas.conventions.curve if parabolas else None) or "parabola"
        return cls(C_K, high, lines, minima(table, fit, parabolas), curve, level)

    @property
    def size(self) -> Size:
        return Size(panels=2, width=9.0, height=4.1)

    @property
    def caption(self) -> str:
        lines = {
            2: " Solid line: the power law through minima (approach 2).",
            3: " Dashed line: the fitted surface's own optimum (approach 3).",
        }
        opened = any(m.open_low or m.open_high for m in self.minima[0])
        arrows = " An arrow marks an end of an interval that the runs leave open." if opened else ""
        diamonds = (
            f" Diamonds: IsoFLOP minima with 95% intervals; minima of {CURVE_NAMES[self.curve]}.{arrows}"
        )
        banded = any(line.banded for line in self.lines)
        return (
            "The best size (first) and the best number of tokens (second) at each budget."
            f"{diamonds if self.minima[0] else ''}{''.join(lines[line.approach] for line in self.lines)}"
            f"{f' Bands: {self.level:.0%} bootstrap intervals.' if banded else ''} Beyond the dotted rule, "
            f"which stands at the largest budget, everything up to {BEYOND:g} times it is extrapolation."
        )

    @property
    def description(self) -> str:
        said = []
        for line in self.lines:
            N, D = (short(np.interp(np.log(self.largest), np.log(self.C_K), row)) for row in line.values_2xK)
            said.append(f"by the {LOOK[line.approach][0]} {N} parameters and {D} tokens")
        return (
            "Optimal parameters and optimal tokens against compute, both rising as straight lines in "
            f"logarithms. At the largest budget, {power(self.largest)} FLOPs: {'; '.join(said)}."
        )

    def draw(self, axes: Sequence[Axes]) -> Hover:
        hover: Hover = []
        for k, ax in enumerate(axes):
            for line in self.lines:
                name, colour, dash = LOOK[line.approach]
                label = name if k == 0 else f"_{name}"
                if line.banded:
                    ax.fill_between(
                        self.C_K, line.low_2xK[k], line.high_2xK[k], color=colour, alpha=0.13, lw=0,
                        label=f"_interval of {name}",
                    )  # fmt: skip
                ax.plot(self.C_K, line.values_2xK[k], color=colour, lw=1.7, ls=dash, label=label)
            for m in self.minima[k]:
                hover += _draw_minimum(ax, m)
            ax.axvline(self.largest, color=INK, lw=0.9, ls=":", label="_largest budget")
            log_axis(ax, "x", self.C_K[0], self.C_K[-1], "Training compute C (FLOPs)", power)
            values = np.concatenate([line.values_2xK[k] for line in self.lines])
            log_axis(ax, "y", *spread(values[np.isfinite(values)], 0.1), LABELS[k])
        return hover


def _has_optimum(fit: LawFit, C_K: np.ndarray) -> bool:
    return bool(np.isfinite(fit.optimum(C_K[:1], fit.params_P)).all())


def _line(fit: LawFit, C_K: np.ndarray, level: float) -> Line:
    draws = fit.draws_BxP[:DRAWS]
    N_BxK = fit.optimum(C_K, np.vstack([fit.params_P, draws]))
    values = np.stack([N_BxK, C_K / fit.cost(N_BxK)])
    drawn = np.where(np.isfinite(values), values, np.nan)[:, min(1, len(draws)) :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a budget without a finite draw has no band
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return Line(fit.approach, values[:, 0], low, high, len(draws) > 0)


def minima(
    table: RunTable, fit: LawFit, parabolas: LawFit | None
) -> tuple[tuple[Minimum, ...], tuple[Minimum, ...]]:
    """The minima that the runs bracket, in parameters and in tokens. An open end of an interval is put at the
    budget's last size.
    """
    sizes, tokens = [], []
    for series, budget in zip(run_series(table), (parabolas and parabolas.budgets) or (), strict=False):
        if budget.n_opt is None or budget.d_opt is None:
            continue
        low, high = budget.n_interval or (budget.n_opt, budget.n_opt)
        N_R, is_open = table.N_R[series.rows], (low is None, high is None)
        ends = (low or float(N_R.min()), high or float(N_R.max()))
        sizes.append(Minimum(budget.flops, budget.n_opt, *ends, *is_open, series.colour))
        # Many parameters are few tokens: the ends change sides.
        few, many = (float(budget.flops / fit.cost(np.array(end))) for end in ends[::-1])
        open_ends = is_open[1], is_open[0]
        tokens.append(Minimum(budget.flops, budget.d_opt, few, many, *open_ends, series.colour))
    return tuple(sizes), tuple(tokens)


def _draw_minimum(ax: Axes, m: Minimum) -> Hover:
    ax.plot([m.C, m.C], [m.low, m.high], color=m.colour, lw=1.4, label="_interval")
    for end, is_open, marker in ((m.low, m.open_low, "v"), (m.high, m.open_high, "^")):
        if is_open:
            ax.plot(m.C, end, marker, color=m.colour, ms=5, mew=0, label="_open end")
    return marks(ax, m.C, m.value, [m.words], "_minimum", m.colour, "D", 6)
