"""What was measured of a sweep's kept models: loss by position, and after rounding or pruning."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, marks
from isoflop.analysis.figures.style import budget_colours, log_axis, spread
from isoflop.base.formatting import short

N, D = "n_params_non_embedding", "n_tokens"


@dataclass(frozen=True)
class LossByPosition(FigureData):
    """Mean losses of the models of one size at their largest budget, over seeds, by position."""

    title = "Loss by position in the window"
    sizes: tuple[float, ...]
    position_T: np.ndarray
    loss_MxT: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame | None) -> LossByPosition | None:
        """Make it from the table; None without one."""
        if table is None or not {N, D, "position", "loss"} <= set(table.columns):
            return None
        longest = table[table[D] == table.groupby(N)[D].transform("max")]
        loss = longest.pivot_table(index=N, columns="position", values="loss", aggfunc="mean").dropna(axis=1)
        if loss.empty:
            return None
        return cls(tuple(map(float, loss.index)), loss.columns.to_numpy(dtype=float), loss.to_numpy())

    @property
    def size(self) -> Size:
        return Size(height=3.9)

    @property
    def caption(self) -> str:
        return (
            "Held-out loss against the number of tokens before the target, of each size's longest run, "
            "the mean over seeds. A curve that still falls at its right end has a use for more context."
        )

    @property
    def description(self) -> str:
        ends = [
            f"{short(size)} parameters: {losses[0]:.3f} to {losses[-1]:.3f}"
            for size, losses in zip(self.sizes, self.loss_MxT, strict=True)
        ]
        return f"Loss from position {self.position_T[0]:g} to {self.position_T[-1]:g}. {'; '.join(ends)}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        hover: Hover = []
        for size, colour, loss_T in zip(
            self.sizes, budget_colours(len(self.sizes)), self.loss_MxT, strict=True
        ):
            name = f"{short(size)} parameters"
            said = [f"{name}\nposition {p:g}: {x:.4f}" for p, x in zip(self.position_T, loss_T, strict=True)]
            ax.plot(self.position_T, loss_T, "-", color=colour, lw=0.9, label="_line")
            hover += marks(ax, self.position_T, loss_T, said, name, colour, size=2.5)
        log_axis(ax, "x", *spread(self.position_T), "Tokens before the target")
        ax.set_ylabel("Loss (nats per token)")
        return hover


@dataclass(frozen=True)
class _LossIncrease(FigureData):
    """What a change of the trained matrices costs, by tokens per parameter, at each strength of the change.

    `ratio_M` and `rise_M` (nats per token): of each model, by strength. `hidden`: how many didn't rise.
    """

    column: ClassVar[str]
    words: ClassVar[str]
    levels: tuple[float, ...]
    ratio_M: tuple[np.ndarray, ...]
    rise_M: tuple[np.ndarray, ...]
    hidden: int

    @classmethod
    def of(cls, table: pd.DataFrame | None) -> Self | None:
        """Make it from the table; None without one, or where nothing rose."""
        if table is None or not {N, D, cls.column, "loss_increase"} <= set(table.columns):
            return None
        rose = table[table["loss_increase"] > 0]
        groups = [(float(str(level)), pd.DataFrame(rows)) for level, rows in rose.groupby(cls.column)]
        if not groups:
            return None
        return cls(
            tuple(level for level, _ in groups),
            tuple((rows[D] / rows[N]).to_numpy(dtype=float) for _, rows in groups),
            tuple(rows["loss_increase"].to_numpy(dtype=float) for _, rows in groups),
            len(table) - len(rose),
        )

    @property
    def size(self) -> Size:
        return Size(height=3.9)

    @property
    def caption(self) -> str:
        hidden = f" {self.hidden} that did not rise are not drawn." if self.hidden else ""
        return (
            f"How much the held-out loss rises after {self.words}, against the tokens per parameter that the "
            f"model was trained on. A point is a model.{hidden}"
        )

    @property
    def description(self) -> str:
        medians = [
            f"{self._name(level)}: median {np.median(rise):.3g}"
            for level, rise in zip(self.levels, self.rise_M, strict=True)
        ]
        return f"Rise of the loss after {self.words}, nats. {'; '.join(medians)}."

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        hover: Hover = []
        for level, colour, ratio, rise in zip(
            self.levels, budget_colours(len(self.levels)), self.ratio_M, self.rise_M, strict=True
        ):
            name = self._name(level)
            said = [f"{name}\nD/N {x:.3g}: +{y:.4g} nats" for x, y in zip(ratio, rise, strict=True)]
            hover += marks(ax, ratio, rise, said, name, colour)
        log_axis(ax, "x", *spread(np.concatenate(self.ratio_M)), "Tokens per parameter")
        log_axis(ax, "y", *spread(np.concatenate(self.rise_M)), "Rise of the loss (nats)", "{:g}".format)
        return hover

    @abstractmethod
    def _name(self, level: float) -> str:
        """A strength, in words."""


class QuantizationLoss(_LossIncrease):
    """After rounding the matrices to few bits."""

    title = "Post-training quantization"
    column, words = "bits_post", "rounding the matrices to few bits"

    def _name(self, level: float) -> str:
        return f"{level:g} bits"


class PruningLoss(_LossIncrease):
    """After setting the smallest weights to zero."""

    title = "Magnitude pruning"
    column, words = "sparsity", "setting the smallest weights to zero"

    def _name(self, level: float) -> str:
        return f"{level:.0%} pruned"
