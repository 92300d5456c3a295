"""What a fit says about budgets: the best split, the loss there, and a model that is to serve many tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isoflop.analysis.conventions import FitConventions
from isoflop.analysis.isoflops.power_laws import LOSS_CURVE
from isoflop.analysis.planning.predictive import DRAWS, NO_FORMS, MinimumDraws, PredictedRun, predicted_run
from isoflop.analysis.result import Interval, LawFit
from isoflop.analysis.uncertainty.intervals import span_with, spread_about
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import Serializable

if TYPE_CHECKING:
    import pandas as pd

FURTHER = 1.01
"""A budget beyond the runs' range by more than this factor is extrapolation."""
FURTHEST = 1e3
"""... and by more than this one that no fit carries: a prediction there has to be forced."""
GRID = 4001
"""Sizes among which the cheapest over a lifetime is sought: steps of 0.15%."""


@dataclass(frozen=True)
class Lifetime:
    """A smaller model, trained longer to the same loss, that costs less with its use counted.

    Sardana et al. (2024): minimize training plus inference FLOPs, a third of the training FLOPs per token
    each token served (6 N D + 2 N T), at the loss that the compute-optimal model has. N in parameters, D
    and T in tokens, the rest in FLOPs.
    """

    inference_tokens: float
    n: float
    d: float
    training_flops: float
    total_flops: float
    optimal_total_flops: float
    """What the compute-optimal model costs with the same use."""
    saving: float
    """Share of that saved."""


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
    uncertainty and the law's form. None without a surface L(N, D)."""
    n_predictive: Interval | None
    """Of N_opt, the law's form included."""
    extrapolation: float
    """Budget over the nearest end of the fitted runs' range; 1 within it."""
    lifetime: Lifetime | None
    conventions: FitConventions
    warnings: tuple[str, ...]

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
        return Summary(title, ("", "value", level), rows, self.warnings)


def predict(
    fit: LawFit, flops: float, inference_tokens: float | None = None, force: bool = False
) -> Prediction:
    """The allocation of `flops` training FLOPs, with the fit's bootstrap intervals.

    Raises `UserError` for a budget that is no positive number, for extrapolation from a fit that is not
    certified or not identified and from any by more than `FURTHEST` (unless forced), and where the law has no
    interior optimum there.
    """
    if not (np.isfinite(flops) and flops > 0):
        raise UserError(f"--flops {flops}: give a positive number of FLOPs, such as 1e18")
    if inference_tokens is not None and not (np.isfinite(inference_tokens) and inference_tokens >= 0):
        raise UserError(f"--inference-tokens {inference_tokens}: give zero or more tokens, such as 1e12")
    low, high = fit.conventions.flops_range
    beyond = max(flops / high, low / flops, 1.0)
    warnings = _doubts(fit, beyond, force)
    if beyond > FURTHEST and not force:
        raise UserError(
            f"{beyond:.3g} times beyond the fitted budgets, more than {FURTHEST:g}: no law is known to hold "
            "so far; run larger budgets, or use --force to have the numbers all the same"
        )
    C_K = np.array([flops])
    params = np.vstack([fit.params_P, fit.draws_BxP]) if len(fit.draws_BxP) else fit.params_P[None]
    n_B = fit.optimum(C_K, params)[:, 0]
    if not np.isfinite(n_B[0]):
        raise UserError(
            f"the fit has no interior optimum at {flops:.3g} FLOPs: its loss falls to an end of the sizes"
        )
    d_B = flops / fit.cost(n_B)
    loss_B = _losses(fit, params, n_B, d_B, flops)
    level = None if fit.intervals is None else fit.intervals.level
    span_of = spread_about if fit.law is None else span_with
    ranges = [None if level is None else span_of(float(x[0]), x[1:], level) for x in (n_B, d_B, loss_B)]
    if _lost_loss(fit) and beyond > FURTHER:
        ranges[2] = None
    return Prediction(
        flops=float(flops),
        n_opt=float(n_B[0]),
        d_opt=float(d_B[0]),
        tokens_per_parameter=float(d_B[0] / n_B[0]),
        loss=float(loss_B[0]) if np.isfinite(loss_B[0]) else None,
        level=level,
        n_interval=ranges[0],
        d_interval=ranges[1],
        loss_interval=ranges[2],
        run=None if fit.law is None else predicted_run(fit, float(n_B[0]), float(d_B[0])),
        n_predictive=None if fit.law is None or level is None else _optimum_interval(fit, flops, level),
        extrapolation=float(beyond),
        lifetime=None if inference_tokens is None else lifetime(fit, flops, inference_tokens),
        conventions=fit.conventions,
        warnings=warnings,
    )


def _optimum_interval(fit: LawFit, flops: float, level: float) -> Interval:
    found = MinimumDraws(fit, flops, (np.ones(DRAWS), np.ones(DRAWS)))
    return span_with(found.n_opt, found.n_S, level)


def lifetime(fit: LawFit, flops: float, inference_tokens: float) -> Lifetime:
    """The cheapest model over training and use that is as good as the compute-optimal one at `flops`.

    Approach 3 only (`UserError` otherwise): the trade needs the surface.
    """
    if fit.law is None:
        raise UserError("--inference-tokens needs the surface L(N, D): fit with --approach 3")
    n_opt, d_opt = fit.allocate(flops)
    target = float(fit.predict(n_opt, d_opt))
    # With use counted the best model is smaller than the compute-optimal one: the grid reaches far below it.
    n = np.exp(np.linspace(np.log(n_opt) - 5, np.log(n_opt) + 1, GRID))
    d = tokens_for(fit, n, target)
    train = fit.cost(n) * d
    total = train + fit.cost(n) / 3 * inference_tokens
    best = int(np.nanargmin(total))
    plain = float(flops + fit.cost(n_opt) / 3 * inference_tokens)
    return Lifetime(
        inference_tokens=float(inference_tokens),
        n=float(n[best]),
        d=float(d[best]),
        training_flops=float(train[best]),
        total_flops=float(total[best]),
        optimal_total_flops=plain,
        saving=1 - float(total[best]) / plain,
    )


def tokens_for(fit: LawFit, N: np.ndarray, loss: float) -> np.ndarray:
    """Tokens that bring N parameters to `loss`, by bisection; NaN where none within 1e18 do."""
    # In log D, where the loss falls throughout; 60 halvings of 41 are below rounding.
    low, high = np.zeros(np.shape(N)), np.full(np.shape(N), np.log(1e18))
    reachable = fit.predict(N, np.exp(high)) <= loss
    for _ in range(60):
        middle = 0.5 * (low + high)
        enough = fit.predict(N, np.exp(middle)) <= loss
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reachable, np.exp(high), np.nan)


def _doubts(fit: LawFit, beyond: float, force: bool) -> tuple[str, ...]:
    warnings = []
    if fit.law is not None and fit.intervals is not None and fit.forms is None:
        warnings.append(NO_FORMS)
    if beyond > FURTHER:
        warnings.append(
            f"{beyond:.3g} times beyond the fitted budgets: the intervals assume that the law holds there"
        )
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
    if beyond > FURTHER and not force:
        raise UserError(
            f"{doubt}: no extrapolation from it; add runs, or use --force to have the numbers all the same"
        )
    return (*warnings, f"{doubt}: read these numbers as a guess")


def _lost_loss(fit: LawFit) -> list[str]:
    """Parameters of the loss curve of approaches 1 and 2 that the data do not determine: N_opt has none of
    them."""
    return [name for name in LOSS_CURVE if fit.law is None and fit.identified.get(name) is False]


def _losses(fit: LawFit, params: np.ndarray, n_B: np.ndarray, d_B: np.ndarray, flops: float) -> np.ndarray:
    if fit.law is None:
        E, K, gamma = params.T[4:7]
        return E + K * flops**-gamma
    return np.array([float(fit.losses(p, n, d)) for p, n, d in zip(params, n_B, d_B, strict=True)])
