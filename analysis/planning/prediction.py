"""What a fit says about compute-optimal runs: the split of a budget, the loss, the budget for a loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from isoflop.analysis.conventions import FitConventions
from isoflop.analysis.isoflops.power_laws import LOSS_CURVE
from isoflop.analysis.laws import find_law
from isoflop.analysis.planning.data_limit import COLUMN, DataLimit, data_limit
from isoflop.analysis.planning.inference import Lifetime, lifetime
from isoflop.analysis.planning.predictive import DRAWS, NO_FORMS, MinimumDraws, PredictedRun, predicted_run
from isoflop.analysis.planning.question import Answers, Question, answer
from isoflop.analysis.result import Interval, LawFit
from isoflop.analysis.uncertainty.intervals import span_with, spread_about
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import FloatOrNaN, Serializable

if TYPE_CHECKING:
    import pandas as pd

FURTHER = 1.01
"""A budget beyond the runs' range by more than this factor is extrapolation."""
FURTHEST = 1e3
"""... and by more than this one that no fit carries: a prediction there has to be forced."""


@dataclass(frozen=True, repr=False)
class Prediction(Displayed, Serializable):
    """The best N (parameters) and D (tokens) at a training budget (FLOPs), and the loss there, in the unit of
    its `conventions`.
    """

    flops: float
    n_opt: float
    d_opt: float
    tokens_per_parameter: float
    loss: float | None
    """None where the minima are too few for a loss curve."""
    level: float | None
    n_interval: Interval | None
    d_interval: Interval | None
    loss_interval: Interval | None
    """Of the law's loss, as its bootstrap has it; `n_interval`, `d_interval` likewise."""
    run: PredictedRun | None
    """A run of that size, as it will be measured: its interval takes in the run's noise, the fit's
    uncertainty and the law's form. None without a surface L(N, D), and of published constants."""
    n_predictive: Interval | None
    """Of N_opt, the law's form included."""
    extrapolation: float
    """Budget over the nearest end of the fitted runs' range; 1 within it."""
    lifetime: Lifetime | None
    conventions: FitConventions
    warnings: tuple[str, ...]
    flops_interval: Interval | None = None
    """Of the budget, where a loss, a size or tokens were given."""
    data_limit: DataLimit | None = None
    """The best use of the budget where distinct tokens are limited."""
    held: dict[str, FloatOrNaN] = field(default_factory=dict)
    """Values of what the law needs besides N, D and FLOPs, by symbol: its defaults at the optimum."""
    notes: tuple[str, ...] = ()
    """What to know of published constants."""

    def to_frame(self) -> pd.DataFrame:
        """`n_opt`, `d_opt` and `loss`: `value`, and `low` and `high` of the interval."""
        import pandas as pd

        found = {
            "n_opt": (self.n_opt, self.n_interval),
            "d_opt": (self.d_opt, self.d_interval),
            "loss": (self.loss, self.loss_interval),
        }
        rows = {name: (value, *(ends or (None, None))) for name, (value, ends) in found.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])

    def summary(self) -> Summary:
        """The best size and token count, and the loss there."""
        rows = [
            ("N_opt", brief(self.n_opt), interval(self.n_interval)),
            ("D_opt", brief(self.d_opt), interval(self.d_interval)),
            (self.conventions.quantity, brief(self.loss), interval(self.loss_interval)),
        ]
        if self.run is not None:
            rows.append(("a run there", brief(self.run.loss), interval(self.run.interval)))
        level = f"{self.level:.0%} interval" if self.level else ""
        beyond = brief(self.extrapolation)
        title = f"Prediction: at {brief(self.flops)} FLOPs, {beyond} times the fitted range"
        return Summary(title, ("", "value", level), rows, (*self.warnings, *self.notes))


def predict(
    fit: LawFit,
    flops: float | None = None,
    inference_tokens: float | None = None,
    force: bool = False,
    *,
    loss: float | None = None,
    n_params: float | None = None,
    tokens: float | None = None,
    unique_tokens: float | None = None,
) -> Prediction:
    """The compute-optimal run at a budget, or with a given loss, size or number of tokens.

    With the fit's bootstrap intervals; `inference_tokens`: also the cheapest model over training and so many
    tokens served; `unique_tokens`: also the best use of the budget over so many distinct tokens.

    Raises `UserError` for what is not one positive number, for extrapolation from a fit that is not
    certified or not identified and from any by more than `FURTHEST` (unless forced), and where the law has no
    such optimum.
    """
    question = Question(flops, loss, n_params, tokens)
    if question.fixes_a_run:
        raise UserError("two quantities determine a run and leave nothing to optimize: use planned_run")
    found = answer(fit, question)
    budget = float(found.flops_B[0])
    distance, warnings = extrapolation(fit, budget, force)
    level = None if fit.intervals is None else fit.intervals.level
    ranges = intervals_of(fit, found, level)
    if _lost_loss(fit) and distance > FURTHER:
        ranges["loss"] = None
    loss_there = found.own("loss")
    return Prediction(
        flops=budget,
        n_opt=found.own("n"),
        d_opt=found.own("d"),
        tokens_per_parameter=found.own("d") / found.own("n"),
        loss=loss_there if np.isfinite(loss_there) else None,
        level=level,
        n_interval=ranges["n"],
        d_interval=ranges["d"],
        loss_interval=ranges["loss"],
        run=predicted_run(fit, found.own("n"), found.own("d")) if fit.law and not fit.is_published else None,
        n_predictive=None if fit.law is None or level is None else _optimum_interval(fit, budget, level),
        extrapolation=distance,
        lifetime=None if inference_tokens is None else lifetime(fit, budget, inference_tokens),
        conventions=fit.conventions,
        warnings=warnings,
        flops_interval=None if flops is not None else ranges["flops"],
        data_limit=None if unique_tokens is None else data_limit(fit, budget, unique_tokens),
        held=_held(fit, found.own("n"), found.own("d"), budget),
        notes=fit.notes,
    )


def _held(fit: LawFit, N: float, D: float, C: float) -> dict[str, float]:
    if fit.law is None or (fit.constraints and fit.constraints.groups):
        return {}
    law = find_law(fit.law)
    values = law.fill(np.array([N]), np.array([D]), np.array([C]))
    pairs = zip(law.covariates, values, strict=True)
    return {c.symbol: float(x[0]) for c, x in pairs if c.column not in ("flops", COLUMN)}


def times_beyond(fit: LawFit, flops: float) -> float:
    """A budget over the nearest end of the fitted ones; 1 among them."""
    low, high = fit.conventions.flops_range
    return float(max(flops / high, low / flops, 1.0))


def extrapolation(fit: LawFit, flops: float, force: bool) -> tuple[float, tuple[str, ...]]:
    """How many times a budget lies beyond the fitted ones, and the warnings on a prediction there.

    Raises `UserError` for what a fit does not carry, unless forced.
    """
    beyond = times_beyond(fit, flops)
    warnings = _doubts(fit, beyond, force)
    if beyond > FURTHEST and not (force or fit.is_published):
        raise UserError(
            f"{beyond:.3g} times beyond the fitted budgets, more than {FURTHEST:g}: no law is known to hold "
            "so far; run larger budgets, or use --force to have the numbers all the same"
        )
    return beyond, warnings


def intervals_of(fit: LawFit, found: Answers, level: float | None) -> dict[str, Interval | None]:
    """Intervals of `n`, `d`, `flops` and `loss`, from the draws' answers; None without draws."""
    span_of = spread_about if fit.law is None else span_with
    values = {"n": found.n_B, "d": found.d_B, "flops": found.flops_B, "loss": found.loss_B}
    return {
        name: None if level is None else span_of(float(x_B[0]), x_B[1:], level)
        for name, x_B in values.items()
    }


def _optimum_interval(fit: LawFit, flops: float, level: float) -> Interval:
    found = MinimumDraws(fit, flops, (np.ones(DRAWS), np.ones(DRAWS)))
    return span_with(found.n_opt, found.n_S, level)


def _doubts(fit: LawFit, beyond: float, force: bool) -> tuple[str, ...]:
    warnings = []
    if fit.law is not None and fit.intervals is not None and fit.forms is None:
        warnings.append(NO_FORMS)
    if beyond > FURTHER:
        rest = "the intervals assume" if fit.intervals else "the numbers assume"
        warnings.append(f"{beyond:.3g} times beyond the fitted budgets: {rest} that the law holds there")
    if fit.is_published:
        warnings += fit.warnings
    if fit.misfit and fit.misfit.rejected:
        warnings.append(fit.misfit.doubt(fit.law or ""))
    if fit.trusted:
        return tuple(warnings)
    if lost := _lost_loss(fit):
        warnings.append(f"{', '.join(lost)} not identified: read the loss as a guess")
    failed = [name for name in fit.unidentified if name not in lost]
    certified = fit.certificate is None or fit.certificate.status == "certified"
    if certified and not failed:
        return tuple(warnings)
    doubt = "the fit is not certified" if not certified else f"{', '.join(failed)} not identified"
    doubt += f" by the runs of {fit.law}'s source" if fit.is_published else ""
    if beyond > FURTHER and not force:
        mend = "fit runs of your own" if fit.is_published else "add runs"
        raise UserError(
            f"{doubt}: no extrapolation from it; {mend}, or use --force to have the numbers all the same"
        )
    return (*warnings, f"{doubt}: read these numbers as a guess")


def _lost_loss(fit: LawFit) -> list[str]:
    """Parameters of the loss curve of approaches 1 and 2 that the data do not determine: N_opt has none of
    them."""
    return [name for name in LOSS_CURVE if fit.law is None and fit.identified.get(name) is False]
