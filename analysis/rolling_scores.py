"""How predictions came out against their distance, over the cuts of a rolling hold-out.

Losses and errors are in nats per token; an error is measured less predicted. A distance is the compute of
what is predicted over the largest that was fitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoflop.analysis.scores import HeldOutMinimum, HeldOutRun
from isoflop.base.display import Displayed, Summary
from isoflop.base.formatting import brief
from isoflop.base.json_values import Serializable

if TYPE_CHECKING:
    import pandas as pd

LEAST_COVERAGE = 0.85
"""Share of what is predicted that 95% intervals must hold for a table to pass."""


@dataclass(frozen=True)
class RollingCut:
    """One cut: fitted to the runs below `c_min` FLOPs, the largest of which had `c_fitted`."""

    c_min: float
    c_fitted: float
    n_fit: int
    laws: tuple[str, ...]
    """Those that the intervals mix, the fitted one first."""
    runs: tuple[HeldOutRun, ...]
    minima: tuple[HeldOutMinimum, ...]
    """Of the IsoFLOPs above whose runs bracket a minimum."""


@dataclass(frozen=True)
class DistanceBand:
    """Every prediction, of any cut, of distance above `low` and up to `high` (None: without end)."""

    low: float
    high: float | None
    runs: int
    mean_abs_error: float | None
    bias: float | None
    half_width: float | None
    """Median half-width of the intervals."""
    coverage: float | None
    """Share of runs within their intervals."""
    minima: int
    minimum_error: float | None
    """Mean absolute error of the loss at the minimum."""
    minimum_half_width: float | None
    loss_coverage: float | None
    size_error: float | None
    """Mean absolute error of log N_opt."""
    size_coverage: float | None

    @property
    def name(self) -> str:
        """The band in words."""
        return f"over x{self.low:g}" if self.high is None else f"x{self.low:g} to x{self.high:g}"


@dataclass(frozen=True, repr=False)
class Rolling(Displayed, Serializable):
    """A rolling hold-out of one table."""

    law: str
    level: float
    curve: str
    cuts: tuple[RollingCut, ...]
    skipped: tuple[str, ...]
    """Cuts that could not be made, and why."""
    bands: tuple[DistanceBand, ...]
    all: DistanceBand

    def to_frame(self) -> pd.DataFrame:
        """A row a band, by the names of `DistanceBand`, and one over all."""
        import dataclasses

        import pandas as pd

        rows = [dataclasses.asdict(band) | {"band": band.name} for band in self.bands]
        rows.append(dataclasses.asdict(self.all) | {"band": "all"})
        return pd.DataFrame(rows).set_index("band")

    def predictions_frame(self) -> pd.DataFrame:
        """A row a prediction: `what` (run or minimum), `cut`, `distance`, the loss and N_opt, measured,
        predicted, low and high."""
        import pandas as pd

        rows = []
        for cut in self.cuts:
            for run in cut.runs:
                low, high = run.interval
                rows.append({
                    "what": "run", "cut": cut.c_min, "distance": run.flops / cut.c_fitted,
                    "flops": run.flops, "n": run.n_params, "loss": run.loss, "predicted": run.predicted,
                    "low": low, "high": high,
                })  # fmt: skip
            for best in cut.minima:
                (low, high), (n_low, n_high) = (
                    x or (None, None) for x in (best.loss_opt_interval, best.n_opt_interval)
                )
                rows.append({
                    "what": "minimum", "cut": cut.c_min, "distance": best.flops / cut.c_fitted,
                    "flops": best.flops, "n": best.n_opt, "loss": best.loss_opt,
                    "predicted": best.loss_opt_predicted, "low": low, "high": high,
                    "n_predicted": best.n_opt_predicted, "n_low": n_low, "n_high": n_high,
                })  # fmt: skip
        return pd.DataFrame(rows)

    def summary(self) -> Summary:
        """Errors and coverage by distance."""
        rows = [
            (
                "all" if band is self.all else band.name, str(band.runs), brief(band.mean_abs_error),
                percent(band.coverage), str(band.minima), brief(band.minimum_error),
                percent(band.loss_coverage), percent(band.size_coverage),
            )
            for band in (*self.bands, self.all)
        ]  # fmt: skip
        title = (
            f"Rolling: {self.law} fitted below {len(self.cuts)} cuts, scored above; coverage of "
            f"{self.level:.0%} intervals"
        )
        headers = ("distance", "runs", "|error|", "inside", "minima", "|error|", "loss inside", "N inside")
        return Summary(title, headers, rows, self.skipped)


def percent(share: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "-" if share is None else f"{share:.0%}"
