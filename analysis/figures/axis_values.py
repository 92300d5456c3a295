"""A sweep's axis: the loss at each of its values, size by size, at one budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, marks
from isoflop.analysis.figures.style import budget_colours, log_axis, spread
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.tables.cells import as_texts
from isoflop.base.formatting import short

MOST_VALUES = 8
"""Values that are told apart by their colours."""


@dataclass(frozen=True)
class LossByAxisValue(FigureData):
    """Runs of the largest budget that all values have, by value: `N_VxR` and `loss_VxR`."""

    title = "Loss at each value of the axis"
    budget: float
    values: tuple[str, ...]
    N_VxR: tuple[np.ndarray, ...]
    loss_VxR: tuple[np.ndarray, ...]
    loss_axis: str

    @classmethod
    def of(cls, table: RunTable) -> LossByAxisValue | None:
        """Make it from a table; None for one of a single value, or of more than eight, or where the values
        have no budget in common."""
        budget_R = table.budget_R
        if budget_R is None or table.column("axes") is None:
            return None
        value_R = as_texts(table.frame, "axes").to_numpy()
        values = list(dict.fromkeys(value for value in value_R if isinstance(value, str)))
        if not 2 <= len(values) <= MOST_VALUES:
            return None
        common = set.intersection(*(set(budget_R[value_R == value].tolist()) for value in values))
        if not common:
            return None
        budget = max(common)
        here = [(value_R == value) & (budget_R == budget) for value in values]
        return cls(
            budget,
            tuple(values),
            tuple(table.N_R[rows] for rows in here),
            tuple(table.loss_R[rows] for rows in here),
            table.conventions.axis,
        )

    @property
    def size(self) -> Size:
        return Size(height=3.9)

    @property
    def caption(self) -> str:
        return (
            f"Runs of {short(self.budget)} FLOPs at each value of what the sweep varies. Lines join means "
            "over seeds."
        )

    @property
    def description(self) -> str:
        least = [
            f"{value}: least mean {min(self._means(k)[1]):.4g} at {short(self._best(k))} parameters"
            for k, value in enumerate(self.values)
        ]
        return f"Loss against size at {short(self.budget)} FLOPs. {'; '.join(least)}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        hover: Hover = []
        for k, (value, colour) in enumerate(zip(self.values, budget_colours(len(self.values)), strict=True)):
            ax.plot(*self._means(k), "-", color=colour, lw=1.2, label="_line")
            runs = list(zip(self.N_VxR[k], self.loss_VxR[k], strict=True))
            said = [f"{value}\n{short(N)} parameters: {loss:.4f}" for N, loss in runs]
            hover += marks(ax, self.N_VxR[k], self.loss_VxR[k], said, value, colour)
        log_axis(ax, "x", *spread(np.concatenate(self.N_VxR)), "Parameters")
        ax.set_ylabel(self.loss_axis)
        return hover

    def _means(self, value: int) -> tuple[np.ndarray, np.ndarray]:
        """Each size, and its mean loss over seeds."""
        N_S, of_R = np.unique(self.N_VxR[value], return_inverse=True)
        return N_S, np.bincount(of_R, self.loss_VxR[value]) / np.bincount(of_R)

    def _best(self, value: int) -> float:
        N_S, loss_S = self._means(value)
        return float(N_S[np.argmin(loss_S)])
