"""How fits did on runs that they had not seen: one fit's holdout, and a competition of laws.

Losses and errors are in nats per token, or in another metric's unit; an error is measured less predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import computed_field

from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.display import Displayed, Summary
from isoflop.base.formatting import brief
from isoflop.base.json_values import FloatOrNaN, Serializable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class HeldOutRun:
    """A run held out, and what the fit to the others predicted for it. `row`: its number in the table."""

    row: int
    n_params: float
    n_tokens: float
    flops: float
    loss: float
    predicted: FloatOrNaN
    interval: Interval
    """Predictive: of the fit and of a run's noise."""
    error: FloatOrNaN

    @property
    def inside(self) -> bool | None:
        """The loss lies within the interval; None without one."""
        low, high = self.interval
        return None if low is None or high is None else low <= self.loss <= high


@dataclass(frozen=True)
class HeldOutMinimum:
    """The minimum of the largest held-out budget's own curve, and what the smaller budgets predicted.

    `flops`: the budget; `n_opt`: parameters. What was measured is None where the runs bracket no minimum.
    """

    flops: float
    curve: str
    interior: bool
    convex: bool
    n_opt: float | None
    n_opt_predicted: FloatOrNaN
    n_opt_interval: Interval | None
    loss_opt: float | None
    loss_opt_predicted: FloatOrNaN
    loss_opt_interval: Interval | None
    error: float | None


@dataclass(frozen=True)
class Holdout:
    """How well the runs below `c_min` FLOPs predict those at or above it."""

    c_min: float
    n_fit: int
    n_held_out: int
    rows: tuple[HeldOutRun, ...]
    """None of them for approaches 1 and 2, which predict minima alone."""
    mean_abs_error: float | None
    bias: float | None
    coverage: float | None
    """Share of the runs within their predictive intervals."""
    noise_log_sd: FloatOrNaN
    """Standard deviation of a run's log loss that the intervals allow for."""
    optimum: HeldOutMinimum | None


@dataclass(frozen=True)
class Contender:
    """One law or baseline of a competition."""

    name: str
    kind: str
    """`law` or `baseline`."""
    form: str
    parameters: int
    scored_on: str
    """`runs`: every held-out run; `envelope`: those below whose loss no run of at most their compute lies."""
    n_fit: int
    n_scored: int
    mean_abs_error: float
    bias: float
    worst: float
    """The error of largest size, with its sign."""
    worst_row: int
    residual_log_sd: float | None = None
    """Standard deviation of the log loss about the fit, over its degrees of freedom."""
    objective: float | None = None
    """As the options have it, at the optimum; None for a baseline, which has another."""
    certificate: str | None = None
    bounds: tuple[str, ...] = ()
    unidentified: tuple[str, ...] = ()
    exponent: float | None = None
    """a in N_opt ~ C^a; None where there is no optimum."""
    optimum_loss: float | None = None
    """The least loss at the largest held-out budget, predicted."""
    optimum_error: float | None = None
    excess: float = 0.0
    """Mean absolute error less that of the best law on the same runs."""
    interval: Interval = (None, None)
    """The excess's, by resampling the held-out runs in pairs; the fits stay as they are."""

    @property
    def doubts(self) -> list[str]:
        """What speaks against the fit, a clause each."""
        parts = {"at a bound": self.bounds, "not identified": self.unidentified}
        uncertified = [] if self.certificate in (None, "certified") else ["not certified"]
        return uncertified + [f"{what}: {', '.join(names)}" for what, names in parts.items() if names]

    @computed_field
    @property
    def beyond_chance(self) -> bool | None:
        """The interval leaves out zero; None without one."""
        low, high = self.interval
        return None if low is None or high is None else low > 0 or high < 0


@dataclass(frozen=True, repr=False)
class Competition(Displayed, Serializable):
    """Contenders, the least error first, those scored on fewer runs last."""

    c_min: float
    """FLOPs: fitted below, scored at or above."""
    n_fit: int
    n_held_out: int
    best: str
    """The law of least error over all held-out runs."""
    curve: str
    optimum_flops: float | None
    """The largest held-out budget, FLOPs, and the minimum of the curve through its runs."""
    optimum_loss: float | None
    level: float
    resampling: str
    rows: tuple[Contender, ...]
    left_out: dict[str, str]
    """Laws that could not be fitted or scored, and why."""
    unit: str = "nats per token"
    """Of the losses and errors."""

    def to_frame(self) -> pd.DataFrame:
        """A row a contender, by the names of `Contender`."""
        import pandas as pd

        return pd.DataFrame(self.to_json()["rows"]).set_index("name")

    def summary(self) -> Summary:
        """The contenders' errors."""
        rows = [
            (
                r.name,
                f"{r.mean_abs_error:.4f}",
                f"{r.bias:+.4f}",
                f"{r.excess:+.4f}{'*' if r.beyond_chance else ''}",
            )
            for r in self.rows
        ]
        title = (
            f"Competition: fitted to {self.n_fit} runs below {brief(self.c_min)} FLOPs, scored on the "
            f"{self.n_held_out} above; errors ({self.unit}) are measured less predicted"
        )
        notes = (f"*: worse than {self.best} beyond chance", *self.left_out.values())
        return Summary(title, ("", "|error|", "bias", f"over {self.best}"), rows, notes)
