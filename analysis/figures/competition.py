"""Which law: the error on held-out runs, law by law, with what chance allows between it and the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, marks
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL
from isoflop.base.formatting import power

if TYPE_CHECKING:
    from isoflop.analysis.comparison.competition import Competition, Contender

ROW = 0.34
"""Inches a contender."""


@dataclass(frozen=True)
class HeldOutErrors(FigureData):
    """Errors of a competition's laws; `unit` with a space before it, or empty."""

    title = "Held-out error, law by law"
    found: Competition
    unit: str

    @classmethod
    def of(cls, found: Competition | None, unit: str) -> HeldOutErrors | None:
        """Make it from a competition; None without one."""
        return None if found is None else cls(found, unit)

    @property
    def best(self) -> Contender:
        """The law of least error."""
        return next(row for row in self.found.rows if row.name == self.found.best)

    @property
    def size(self) -> Size:
        inches = 1.0 + ROW * len(self.found.rows)
        return Size(height=inches, narrow_height=inches)

    @property
    def caption(self) -> str:
        found = self.found
        envelope = any(row.scored_on == "envelope" for row in found.rows)
        compute = ", and the law of compute alone, on the held-out envelope" if envelope else ""
        return (
            f"Every law fitted to the same {found.n_fit} runs below {power(found.c_min)} FLOPs, and its "
            f"error on the {found.n_held_out} above. Dotted: the best law's error ({found.best}). Bars: that "
            f"error plus the {found.level:.0%} interval of the difference, from resampling the held-out runs "
            f"in pairs ({found.resampling}; the fits stay as they are). Red: a difference beyond chance; "
            f"grey: none shown; open: baselines{compute}."
        )

    @property
    def description(self) -> str:
        said = [f"{_name(row)} {row.mean_abs_error:.4f}" for row in self.found.rows]
        return f"Mean absolute error on held-out runs{self.unit and f' in{self.unit}'}: {', '.join(said)}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        rows, hover, furthest = self.found.rows, [], 0.0
        ax.axvline(self.best.mean_abs_error, color=INK, lw=0.9, ls=":", label="_best law")
        for y, row in enumerate(rows):
            span = bar(row)
            furthest = max(furthest, row.mean_abs_error, span[1] if span else 0.0)
            colour = ACCENT if row.beyond_chance else INK if span is None else NEUTRAL
            if span:
                ax.plot(span, (y, y), color=colour, lw=2.2, solid_capstyle="butt", label="_interval")
            label = f"_{row.name}"
            hover += marks(
                ax, row.mean_abs_error, y, [self._words(row)], label, colour, size=7, hollow=not filled(row)
            )
        ax.set_yticks(range(len(rows)), [_name(row) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlim(0, 1.08 * furthest)
        ax.set_xlabel("Mean |error|" + (f" ({self.unit.strip()})" if self.unit else ""))
        ax.grid(visible=False, axis="y")
        return hover

    def _words(self, row: Contender) -> str:
        on = "" if row.scored_on == "runs" else f" ({_runs(row)} of the envelope)"
        return (
            f"{_name(row)}: {row.mean_abs_error:.4f}{self.unit}\n{row.form}\nbias {row.bias:+.4f}, "
            f"worst {row.worst:+.4f}{self.unit}{on}"
        )


def bar(row: Contender) -> tuple[float, float] | None:
    """The interval about the best law's error on the same runs; None without one."""
    low, high = row.interval
    reference = row.mean_abs_error - row.excess
    return None if low is None or high is None else (max(reference + low, 0.0), reference + high)


def filled(row: Contender) -> bool:
    """Whether it is a law, scored on every held-out run, and no baseline."""
    return row.kind == "law" and row.scored_on == "runs"


def _name(row: Contender) -> str:
    name = row.name.replace("_", " ")
    return name if row.scored_on == "runs" else f"{name}, {_runs(row)}"


def _runs(row: Contender) -> str:
    return f"{row.n_scored} run{'' if row.n_scored == 1 else 's'}"
