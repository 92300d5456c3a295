"""How a law does along a curve, fitted or held out. Errors are measured less predicted, in the curves'
unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.curves.data.curve import LossCurve
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.json_values import FloatOrNaN


@dataclass(frozen=True)
class CurveScore:
    """One curve's rows against the law."""

    name: str
    rows: int
    r_squared: FloatOrNaN
    """1 - sum of squared errors / that of deviations from the rows' mean; NaN where rows do not differ."""
    mean_abs_error: float
    mean_relative_error: float
    """Mean of |error| / loss."""
    worst_error: float
    """The error of largest size, with its sign, and the step it is at."""
    worst_step: int
    final_step: int
    final_loss: float
    final_predicted: float
    final_interval: Interval = (None, None)
    """Of the law's loss at the last row, by the fit's draws."""
    unseen_rows: int = 0
    """Of a held-out curve: the rows that no fitted curve has, too, and their mean absolute error."""
    unseen_error: float | None = None

    @property
    def final_error(self) -> float:
        """The last row's loss less what the law says."""
        return self.final_loss - self.final_predicted


def score(
    curve: LossCurve,
    predicted_R: np.ndarray,
    final: Interval = (None, None),
    unseen_R: np.ndarray | None = None,
) -> CurveScore:
    """The score of R predicted losses; `unseen_R`: which rows of a held-out curve no fitted curve has."""
    error_R = curve.loss_R - predicted_R
    spread = float(((curve.loss_R - curve.loss_R.mean()) ** 2).sum())
    worst = int(np.argmax(np.abs(error_R)))
    unseen = None if unseen_R is None else error_R[unseen_R]
    return CurveScore(
        name=curve.name,
        rows=len(error_R),
        r_squared=1 - float((error_R**2).sum()) / spread if spread > 0 else float("nan"),
        mean_abs_error=float(np.abs(error_R).mean()),
        mean_relative_error=float(np.abs(error_R / curve.loss_R).mean()),
        worst_error=float(error_R[worst]),
        worst_step=int(curve.steps_R[worst]),
        final_step=int(curve.steps_R[-1]),
        final_loss=float(curve.loss_R[-1]),
        final_predicted=float(predicted_R[-1]),
        final_interval=final,
        unseen_rows=0 if unseen is None else len(unseen),
        unseen_error=None if unseen is None or not len(unseen) else float(np.abs(unseen).mean()),
    )


def mean_r_squared(scores: tuple[CurveScore, ...]) -> float | None:
    """The mean over curves, as Luo et al. (2025) report it; None without a curve."""
    return float(np.mean([each.r_squared for each in scores])) if scores else None
