"""`CurveFit`: a law fitted to loss curves, how sure it is, and how it does on curves it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from isoflop.analysis.curves.evaluate import losses
from isoflop.analysis.curves.law import FittedRange
from isoflop.analysis.curves.laws import find_curve_law
from isoflop.analysis.curves.scores import CurveScore, mean_r_squared
from isoflop.analysis.result import Certificate, Estimate, Objective
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.display import Displayed, Summary, warning_lines
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import FloatOrNaN, Serializable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CurveIntervals:
    """Percentile intervals of refits to fitted losses with resampled residuals."""

    level: float
    B: int
    resampling: str
    correlation_time: float
    """Rows that tell as much as one independent row."""
    blocks: int
    params: dict[str, Interval]
    draws: tuple[tuple[FloatOrNaN, ...], ...] = ()
    """The parameters of every refit, in the order of `params`."""


@dataclass(frozen=True)
class ScheduleForecast:
    """The loss at the end of a schedule that was not run."""

    schedule: str
    steps: int
    peak: float
    warmup_steps: int
    loss: FloatOrNaN
    interval: Interval
    reach: float
    """Summed rate over the largest that was fitted."""


@dataclass(frozen=True)
class CurveContender:
    """A law, fitted to the same curves and scored on the same held-out ones."""

    law: str
    parameters: int
    mean_abs_error: float
    """Over the held-out rows that no fitted curve has, too."""
    r_squared: FloatOrNaN | None
    """Mean over the held-out curves, all of their rows."""
    worst_error: float
    """The largest in size of those rows."""
    final_error: float
    """Mean size of the errors of the held-out curves' last rows."""
    objective: float
    certificate: str
    unidentified: tuple[str, ...]
    excess: float
    """Mean absolute error less that of the best."""
    interval: Interval
    """The excess's, by resampling blocks of held-out rows in pairs."""


@dataclass(frozen=True, repr=False)
class CurveFit(Displayed, Serializable):
    """A fitted curve law. `to_json` is the object that `isoflop fit --curves --json` prints."""

    law: str
    params: dict[str, float]
    objective: Objective | None
    certificate: Certificate | None
    identified: dict[str, bool]
    intervals: CurveIntervals | None
    curves: tuple[CurveScore, ...]
    holdout: tuple[CurveScore, ...]
    n_rows: int
    fitted: FittedRange | None
    """None for published constants."""
    schedules: tuple[ScheduleForecast, ...] = ()
    competition: tuple[CurveContender, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    kind: Literal["curves"] = field(default="curves")
    """Tells its file from that of a fit to a table of runs."""

    @property
    def params_P(self) -> np.ndarray:
        """The parameters in the law's order."""
        return np.array([self.params[name] for name in find_curve_law(self.law).parameters])

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The parameters with intervals and verdicts, by name."""
        spans = self.intervals.params if self.intervals else {}
        return {
            name: Estimate(value, spans.get(name, (None, None)), self.identified.get(name))
            for name, value in self.params.items()
        }

    @property
    def unidentified(self) -> tuple[str, ...]:
        """What the curves do not determine."""
        return tuple(name for name, known in self.identified.items() if not known)

    @property
    def trusted(self) -> bool:
        """Certified (where that applies) and every parameter identified."""
        certified = self.certificate is None or self.certificate.status == "certified"
        return certified and not self.unidentified

    @property
    def holdout_r_squared(self) -> float | None:
        """The mean over the held-out curves."""
        return mean_r_squared(self.holdout)

    def predict(self, rates_T: np.ndarray, steps: np.ndarray | None = None) -> np.ndarray:
        """The loss at steps of a schedule, by default at its last. `rates_T`: the rate of steps 0 to T -
        1."""
        return self.losses(self.params_P, rates_T, steps)

    def losses(self, params: np.ndarray, rates_T: np.ndarray, steps: np.ndarray | None = None) -> np.ndarray:
        """`predict` at other parameters: one vector, or one row a draw (the result's first dimension)."""
        law = find_curve_law(self.law)
        rates_T = np.asarray(rates_T, dtype=float)
        at = np.array([len(rates_T) - 1]) if steps is None else np.asarray(steps, dtype=int)
        return losses(law, params, law.features(rates_T, at))

    def draws(self) -> np.ndarray | None:
        """Parameters of the refits, BxP; None without intervals."""
        return np.array(self.intervals.draws) if self.intervals and self.intervals.draws else None

    def to_frame(self) -> pd.DataFrame:
        """A row a curve: its score, and whether it was `held_out`."""
        import pandas as pd

        rows = [vars(each) | {"held_out": held} for held, scores in self._scored for each in scores]
        return pd.DataFrame(rows).set_index("name")

    @property
    def _scored(self) -> tuple[tuple[bool, tuple[CurveScore, ...]], ...]:
        return (False, self.curves), (True, self.holdout)

    def summary(self) -> Summary:
        """Parameters, intervals and verdicts."""
        status = f", {self.certificate.verdict}" if self.certificate else ""
        rows = [
            (
                name,
                brief(each.value),
                interval(each.interval),
                "not identified" if each.identified is False else "",
            )
            for name, each in self.estimates.items()
        ]
        level = f"{self.intervals.level:.0%} interval" if self.intervals else "no interval"
        held = [
            f"{each.name}, held out: R^2 {each.r_squared:.4f}, final loss {each.final_loss:.4f}, predicted "
            f"{each.final_predicted:.4f}"
            for each in self.holdout
        ]
        return Summary(
            f"CurveFit: {self.law}, {len(self.curves)} curves, {self.n_rows} rows{status}",
            ("", "value", level, ""),
            rows,
            [*held, *warning_lines(self.warnings)],
        )
