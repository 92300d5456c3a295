"""Training loss against tokens, run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, marks, run_series
from isoflop.analysis.figures.style import log_axis, spread
from isoflop.base.formatting import power, short

if TYPE_CHECKING:
    from isoflop.analysis.run_table import RunTable

WARM = 0.02
"""Share of a run at its start that is left out of the vertical range: it is far above the rest."""
POINTS = 150


@dataclass(frozen=True)
class TrainingCurve:
    """One run's tokens and training loss (nats per token), thinned."""

    budget: str
    colour: str
    words: str
    tokens_T: np.ndarray
    loss_T: np.ndarray


@dataclass(frozen=True)
class TrainingCurves(FigureData):
    """Every curve that was kept; `decays`: all of a schedule that ends in a decay."""

    title = "Training curves"
    legend_title = "Budget C (FLOPs)"
    curves: tuple[TrainingCurve, ...]
    decays: bool

    @classmethod
    def of(cls, table: RunTable, curves: Mapping[str, np.ndarray]) -> TrainingCurves | None:
        """Make it from a table and its cells' curves, 2xT (tokens, loss); None where no cell kept one."""
        cells, found = table.column("cell_id"), []
        for series in run_series(table) if cells is not None else ():
            of_run = zip(
                table.N_R[series.rows], table.C_R[series.rows], np.asarray(cells)[series.rows], strict=True
            )
            for N, C, cell in of_run:
                tokens, loss = _thinned(curves.get(str(cell), np.empty((2, 0))))
                if len(tokens):
                    words = f"N = {short(N)}, C = {power(C)} FLOPs"
                    found.append(TrainingCurve(series.name, series.colour, words, tokens, loss))
        schedules = table.column("schedule")
        decays = schedules is not None and set(map(str, schedules)) == {"wsd"}
        return cls(tuple(found), decays) if found else None

    @property
    def size(self) -> Size:
        return Size(height=4.4)

    @property
    def caption(self) -> str:
        decay = " The drop at the end of each is the decay of its learning rate; the fits see that end alone."
        return (
            "Training loss against tokens for every run that kept its curve, in the colour of its budget, "
            f"each point a mean over neighbouring steps.{decay if self.decays else ''}"
        )

    @property
    def description(self) -> str:
        ends = [curve.loss_T[-1] for curve in self.curves]
        return (
            f"Training loss of {len(self.curves)} runs, falling with tokens; the last values lie between "
            f"{min(ends):.3f} and {max(ends):.3f} nats per token."
        )

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        seen, hover = set(), []
        for curve in self.curves:
            label = f"_{curve.budget}" if curve.budget in seen else curve.budget
            seen.add(curve.budget)
            ax.plot(curve.tokens_T, curve.loss_T, color=curve.colour, lw=0.9, alpha=0.8, label=label)
            words = [f"{curve.words}\ntraining loss {curve.loss_T[-1]:.3f}"]
            hover += marks(ax, curve.tokens_T[-1], curve.loss_T[-1], words, "_end", curve.colour, size=4)
        log_axis(ax, "x", *spread(np.concatenate([c.tokens_T for c in self.curves]), 0.02), "Training tokens")
        low = min(float(curve.loss_T.min()) for curve in self.curves)
        settled = [curve.loss_T[curve.tokens_T > WARM * curve.tokens_T[-1]] for curve in self.curves]
        high = max(float(loss.max()) for loss in settled)
        ax.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        ax.set_ylabel("Training loss (nats per token)")
        return hover


def _thinned(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and loss, as means over equal stretches of log tokens; empty for under three points."""
    tokens, loss = curve[:, (curve[0] > 0) & np.isfinite(curve[1])]
    if len(tokens) < 3:
        return np.empty(0), np.empty(0)
    place = np.digitize(np.log(tokens), np.linspace(np.log(tokens[0]), np.log(tokens[-1]), POINTS))
    count = np.bincount(place)
    kept = count > 0
    tokens, loss = (np.bincount(place, values)[kept] / count[kept] for values in (tokens, loss))
    return tokens, loss
