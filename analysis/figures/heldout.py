"""The largest budget, predicted from the smaller ones alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from isoflop.analysis.compute import per_token
from isoflop.analysis.figures.figure_data import FigureData, Hover, Size, marks
from isoflop.analysis.figures.style import ACCENT, CURVE_NAMES, INK, budget_colours, log_axis, spread
from isoflop.analysis.planning.predictive import RunDraws
from isoflop.base.formatting import power, short

if TYPE_CHECKING:
    from isoflop.analysis.conventions import Conventions
    from isoflop.analysis.options import FitOptions
    from isoflop.analysis.result import LawFit
    from isoflop.analysis.run_table import RunTable
    from isoflop.analysis.scores import HeldOutMinimum, Holdout

COLOUR = budget_colours(2)[-1]
"""The largest budget's, wherever budgets have colours."""


@dataclass(frozen=True)
class HeldOutBudget(FigureData):
    """Runs of the largest budget, and the prediction for it over sizes N_K with its predictive band."""

    title = "Held out and predicted"
    holdout: Holdout
    best: HeldOutMinimum
    N_R: np.ndarray
    loss_R: np.ndarray
    N_K: np.ndarray
    loss_K: np.ndarray
    band_2xK: np.ndarray | None
    level: float
    conventions: Conventions

    @classmethod
    def of(cls, table: RunTable, held: LawFit | None, options: FitOptions) -> HeldOutBudget | None:
        """Make it from a table's fit with a holdout; None where no IsoFLOP budget was held out."""
        holdout = held.holdout if held else None
        if held is None or holdout is None or not holdout.rows or holdout.optimum is None:
            return None
        top = holdout.optimum.flops
        rows = [row for row in holdout.rows if abs(np.log(row.flops / top)) < 0.05]
        N_R, loss_R = (np.array([getattr(row, name) for row in rows]) for name in ("n_params", "loss"))
        N_K = np.geomspace(*spread(N_R, 0.08), num=80)
        D_K = top / per_token(table)(N_K)
        C_K, rng = np.full(len(N_K), top), np.random.default_rng(options.seed)
        drawn = RunDraws(held, N_K, D_K, C_K, lambda law: law.fill(N_K, D_K, C_K), rng)
        band = np.array(drawn.intervals(options.level)).T if held.intervals else None
        loss_K = drawn.predicted_R
        return cls(holdout, holdout.optimum, N_R, loss_R, N_K, loss_K, band, options.level, held.conventions)

    @property
    def _scored(self) -> str:
        said = f"mean absolute error {self.holdout.mean_abs_error:.4f}{self.conventions.short_unit}"
        if self.holdout.coverage is None:
            return said
        inside = round(self.holdout.coverage * self.holdout.n_held_out)
        return (
            f"{said}, {inside} of {self.holdout.n_held_out} within their {self.level:.0%} predictive "
            "intervals"
        )

    def _is_drawn(self, N: float) -> bool:
        """Whether a size is among those of the figure: one beyond its edge would be missing in its file."""
        return bool(self.N_K[0] <= N <= self.N_K[-1])

    @property
    def size(self) -> Size:
        return Size(height=4.4)

    @property
    def caption(self) -> str:
        band = f", with its {self.level:.0%} predictive band: a run's noise, the fit and the law's form"
        best = self.best
        minima = (
            "Diamonds: the predicted minimum (open) and the runs' own (filled, by "
            f"{CURVE_NAMES[best.curve]})."
            if best.n_opt is not None
            else "Diamond: the predicted minimum; the runs themselves bracket none."
        )
        if not self._is_drawn(best.n_opt_predicted):
            minima += f" The predicted one, at {short(best.n_opt_predicted)} parameters, is off these sizes."
        return (
            f"The surface fitted to the {self.holdout.n_fit} runs below {power(self.holdout.c_min)} "
            f"FLOPs (line{'' if self.band_2xK is None else band}) against runs from there up, which it has "
            f"not seen. Of those {self.holdout.n_held_out}: {self._scored}. {minima}"
        )

    @property
    def description(self) -> str:
        best = self.best
        own = "" if best.loss_opt is None else f", measured {best.loss_opt:.3f}"
        return (
            f"Loss against parameters at {power(best.flops)} FLOPs. Predicted minimum "
            f"{best.loss_opt_predicted:.3f} at {short(best.n_opt_predicted)} parameters{own}. "
            f"Held-out runs: {self._scored}."
        )

    def draw(self, axes: Sequence[Axes]) -> Hover:
        (ax,) = axes
        best = self.best
        if self.band_2xK is not None:
            name = f"{self.level:.0%} predictive"
            ax.fill_between(self.N_K, *self.band_2xK, color=ACCENT, alpha=0.14, lw=0, label=name)
        ax.plot(self.N_K, self.loss_K, color=ACCENT, lw=1.8, label="predicted from smaller budgets")
        said = [f"N = {short(N)}\nloss {loss:.4f}" for N, loss in zip(self.N_R, self.loss_R, strict=True)]
        hover = marks(ax, self.N_R, self.loss_R, said, "runs, held out", COLOUR, size=6.5)
        minima = {
            "predicted minimum": (best.n_opt_predicted, best.loss_opt_predicted, ACCENT, True),
            "the runs' own minimum": (best.n_opt, best.loss_opt, INK, False),
        }
        for name, (N, loss, colour, hollow) in minima.items():
            if N is not None and self._is_drawn(N):
                words = [f"{name}\nN = {short(N)}, loss {loss:.4f}"]
                hover += marks(ax, N, loss, words, name, colour, "D", 7, hollow)
        log_axis(ax, "x", float(self.N_K[0]), float(self.N_K[-1]), "Parameters N")
        ax.set_ylabel(self.conventions.axis)
        return hover
