"""What every figure is: computed once from what it draws, then drawn on any matplotlib axes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import NEUTRAL, RC, budget_colours, canvas, legend_above
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.run_table import RunTable
from isoflop.base.formatting import power, short

NARROW = 3.7
"""Inches: the width of a figure on a telephone, where panels stand above each other."""

Hover = list[tuple[Artist, list[str]]]
"""Artists with markers, and what the page says of each marker under the pointer."""


class Size(NamedTuple):
    """Axes beside each other, and inches: on paper and a wide screen, and of a row of axes on a telephone."""

    panels: int = 1
    width: float = 7.4
    height: float = 4.6
    narrow_height: float = 3.4
    narrow_columns: int = 1


class FigureData(ABC):
    """What one figure shows. A subclass is a frozen dataclass, made by its `of`, which returns None where
    there is nothing to show.
    """

    title: ClassVar[str]
    legend_title: ClassVar[str] = ""

    @property
    def size(self) -> Size:
        """How large it is drawn, on how many axes."""
        return Size()

    @property
    @abstractmethod
    def caption(self) -> str:
        """How to read the figure; `^` for powers."""

    @property
    @abstractmethod
    def description(self) -> str:
        """What it shows, in words and numbers: the text alternative."""

    @abstractmethod
    def draw(self, axes: Sequence[Axes]) -> Hover:
        """Draw on as many axes as there are panels."""


Drawn = tuple[Figure, Hover]


def render(data: FigureData, narrow: bool = False) -> Drawn:
    """The figure by itself, for a file or for the page; `narrow`: for a telephone."""
    size = data.size
    columns = min(size.panels, size.narrow_columns) if narrow else size.panels
    rows = -(-size.panels // columns)
    inches = (NARROW, size.narrow_height * rows) if narrow else (size.width, size.height)
    with matplotlib.rc_context(RC):
        figure, places = canvas(*inches, rows, columns)
        axes = places[: size.panels]
        for empty in places[size.panels :]:  # an odd panel leaves the last row half empty
            empty.remove()
        hover = data.draw(axes)
        legend_above(figure, axes, data.legend_title)
    return figure, hover


def marks(
    ax: Axes,
    x: Any,
    y: Any,
    words: list[str],
    label: str,
    colour: str,
    marker: str = "o",
    size: float = 5.5,
    hollow: bool = False,
) -> Hover:
    """Draw markers that stand out from lines below them: filled with a white edge, or hollow.

    `words`: what the page says of each; `label`: the legend's, or with a leading underscore only a name.
    """
    face, edge, width = ("white", colour, 1.4) if hollow else (colour, "white", 0.7)
    look: dict[str, Any] = {"ls": "", "marker": marker, "ms": size, "mfc": face, "mec": edge, "mew": width}
    (drawn,) = ax.plot(x, y, color=colour, label=label, zorder=3 if marker == "o" else 5, **look)
    return [(drawn, words)]


@dataclass(frozen=True)
class RunSeries:
    """Runs that are drawn in one colour: those of one budget, or of none. `rows`: places in the table."""

    name: str
    colour: str
    rows: np.ndarray


def run_series(table: RunTable) -> list[RunSeries]:
    """The runs of each IsoFLOP budget, lowest first, then those of no budget."""
    groups = isoflop_groups(table)
    series = [
        RunSeries(power(group.flops), colour, group.rows)
        for group, colour in zip(groups, budget_colours(len(groups)), strict=True)
    ]
    of_none = np.setdiff1d(np.arange(len(table)), np.concatenate([[], *(group.rows for group in groups)]))
    name = "other runs" if groups else "runs"
    return [*series, RunSeries(name, NEUTRAL, of_none)] if len(of_none) else series


def mark_runs(
    ax: Axes, table: RunTable, x_R: np.ndarray, y_R: np.ndarray, notes: Sequence[str] | None = None
) -> Hover:
    """Mark every run in its budget's colour. `notes`: what the page says of each after its numbers."""
    hover: Hover = []
    for series in run_series(table):
        rows, words = series.rows, run_words(table, series.rows)
        if notes is not None:
            words = [f"{run}, {notes[row]}" for run, row in zip(words, rows, strict=True)]
        hover += marks(ax, x_R[rows], y_R[rows], words, f"_{series.name}", series.colour)
    return hover


def run_words(table: RunTable, rows: np.ndarray) -> list[str]:
    """N, D, C and the loss of each of these runs, for people."""
    return [
        f"N = {short(N)}, D = {short(D)} tokens, C = {power(C)} FLOPs\nloss {loss:.4f}"
        for N, D, C, loss in zip(
            table.N_R[rows], table.D_R[rows], table.C_R[rows], table.loss_R[rows], strict=True
        )
    ]
