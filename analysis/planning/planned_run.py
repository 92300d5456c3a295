"""A run of given size, tokens, compute or loss, two of them, beside the compute-optimal one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isoflop.analysis.conventions import FitConventions
from isoflop.analysis.planning.inference import revealed_demand
from isoflop.analysis.planning.prediction import extrapolation, intervals_of
from isoflop.analysis.planning.predictive import PredictedRun, predicted_run
from isoflop.analysis.planning.question import (
    Question,
    answer,
    budgets_for,
    interval_of,
    optimal_losses,
    parameter_rows,
)
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import Serializable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class PlannedRun(Displayed, Serializable):
    """N parameters on D tokens, their training FLOPs and the loss to expect, in the unit of `conventions`."""

    n: float
    d: float
    flops: float
    loss: float
    level: float | None
    n_interval: Interval | None
    """None for what was given, and without a bootstrap."""
    d_interval: Interval | None
    flops_interval: Interval | None
    loss_interval: Interval | None
    run: PredictedRun | None
    """The loss as it will be measured: noise, the fit's uncertainty and the law's form."""
    optimal_n: float
    """The compute-optimal size at the same FLOPs, and the loss there."""
    optimal_loss: float
    optimal_flops: float | None
    """The least FLOPs for the run's loss; None where its loss is the budget's least already."""
    revealed_demand: float
    """Tokens served for which this is the cheapest model of its loss; negative for one above the
    compute-optimal size, which no demand makes the cheapest."""
    revealed_demand_interval: Interval | None
    extrapolation: float
    """FLOPs over the nearest end of the fitted runs' range; 1 within it."""
    conventions: FitConventions
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What to know of published constants."""

    def to_frame(self) -> pd.DataFrame:
        """N, D, FLOPs and loss: `value`, and `low` and `high` of the interval."""
        import pandas as pd

        rows = {name: (value, *(ends or (None, None))) for name, value, ends in self._values()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])

    def summary(self) -> Summary:
        """The run, and how far it is from the compute-optimal one."""
        rows = [(name, brief(value), interval(ends)) for name, value, ends in self._values()]
        level = f"{self.level:.0%} interval" if self.level else ""
        return Summary("A run of given size", ("", "value", level), rows, (*self.warnings, *self.notes))

    def _values(self) -> list[tuple[str, float, Interval | None]]:
        return [
            ("N", self.n, self.n_interval),
            ("D", self.d, self.d_interval),
            ("C", self.flops, self.flops_interval),
            (self.conventions.quantity, self.loss, self.loss_interval),
        ]


def planned_run(fit: LawFit, question: Question, force: bool = False) -> PlannedRun:
    """The run that two given quantities determine. Errors as for `predict`."""
    if not question.fixes_a_run:
        raise UserError("one quantity leaves the run open: give two, or use predict")
    found = answer(fit, question)
    flops, rows_BxP = found.own("flops"), parameter_rows(fit)
    distance, warnings = extrapolation(fit, flops, force)
    level = None if fit.intervals is None else fit.intervals.level
    spans = intervals_of(fit, found, level)
    spans |= dict.fromkeys([_KEYS[name] for name in question.given], None)
    if set(question.given) <= {"flops", "n_params", "tokens"}:  # then all three are
        spans |= dict.fromkeys(("n", "d", "flops"), None)
    pairs = zip(rows_BxP, found.n_B, found.d_B, strict=True)
    demand_B = np.array([revealed_demand(fit, p, n, d) for p, n, d in pairs])
    n_opt, least = (float(x[0, 0]) for x in optimal_losses(fit, np.array([flops]), rows_BxP[:1]))
    return PlannedRun(
        n=found.own("n"),
        d=found.own("d"),
        flops=flops,
        loss=found.own("loss"),
        level=level,
        n_interval=spans["n"],
        d_interval=spans["d"],
        flops_interval=spans["flops"],
        loss_interval=spans["loss"],
        run=None if fit.is_published else predicted_run(fit, found.own("n"), found.own("d")),
        optimal_n=n_opt,
        optimal_loss=least,
        optimal_flops=_least_flops(fit, found.own("loss"), least),
        revealed_demand=float(demand_B[0]),
        revealed_demand_interval=interval_of(fit, demand_B),
        extrapolation=distance,
        conventions=fit.conventions,
        warnings=warnings,
        notes=fit.notes,
    )


_KEYS = {"n_params": "n", "tokens": "d", "flops": "flops", "loss": "loss"}


def _least_flops(fit: LawFit, loss: float, least: float) -> float | None:
    """The least FLOPs for the loss, or None where its own budget is that."""
    if loss <= least * (1 + 1e-9):
        return None
    return float(10 ** budgets_for(fit, "loss", loss, fit.params_P[None])[0])
