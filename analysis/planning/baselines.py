"""What a budget's minimum is expected to be: by a fit, and by simple methods that a law has to beat."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import nnls

from isoflop.analysis.approaches.fit import fit as fit_table
from isoflop.analysis.laws import find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.planning.minimum_forecast import MinimumForecast
from isoflop.analysis.planning.prediction import Prediction, predict
from isoflop.analysis.planning.predictive import predicted_minimum
from isoflop.analysis.result import LawFit, optimal_size
from isoflop.analysis.run_table import RunTable
from isoflop.base.errors import UserError

PUBLISHED_EXPONENTS = (0.34, 0.28)
"""alpha and beta of Hoffmann et al. (2022), equation 10."""


def by_fit(
    fit: LawFit, predicted: Prediction, sizes: np.ndarray | None = None, seeds: int = 1
) -> MinimumForecast:
    """The minimum as a fit predicts it; intervals are predictive where there is a surface: of the minimum
    that runs of `sizes` parameters, each under `seeds` seeds, will show.
    """
    form = find_law(fit.law).equation if fit.law else "power laws through the budgets' minima"
    loss_interval, n_interval = predicted.loss_interval, predicted.n_interval
    if fit.law is not None and fit.intervals is not None:
        shown = predicted_minimum(fit, predicted.flops, sizes, seeds)
        loss_interval, n_interval = shown.loss_interval, shown.n_interval
    return MinimumForecast(
        method=fit.law or f"approach {fit.approach}",
        form=form,
        loss=predicted.loss,
        loss_interval=loss_interval,
        n_opt=predicted.n_opt,
        n_interval=n_interval,
    )


def baselines(
    table: RunTable, fit: LawFit, flops: float, options: FitOptions
) -> tuple[tuple[MinimumForecast, ...], tuple[str, ...]]:
    """The minimum at `flops` FLOPs by each baseline that the table carries; and why others are left out.

    `table`: the runs that `fit` was made of, as `options` count them.
    """
    attempts: tuple[Callable[[], tuple[MinimumForecast, ...]], ...] = (
        lambda: (_published(table, fit, flops),),
        lambda: _through_minima(table, flops, options),
    )
    found: list[MinimumForecast] = []
    left_out: list[str] = []
    for attempt in attempts:
        try:
            found += attempt()
        except UserError as error:
            left_out.append(f"baselines left out: {error}")
    return tuple(found), tuple(left_out)


def _published(table: RunTable, fit: LawFit, flops: float) -> MinimumForecast:
    """Chinchilla's exponents, with E, A and B fitted: nonnegative least squares of the relative residuals."""
    alpha, beta = PUBLISHED_EXPONENTS
    n0, d0 = float(np.median(table.N_R)), float(np.median(table.D_R))
    # The terms at the table's centre: three columns of one scale. Divided by the loss, a residual is that of
    # the log loss to first order.
    terms_Rx3 = np.stack([np.ones(len(table)), (table.N_R / n0) ** -alpha, (table.D_R / d0) ** -beta], axis=1)
    (E, A, B), _ = nnls(terms_Rx3 / table.loss_R[:, None], np.ones(len(table)))
    params = np.array([E, A * n0**alpha, alpha, B * d0**beta, beta])
    law = find_law("chinchilla")
    n_opt = float(optimal_size(law, params, np.array([flops]), fit.cost)[0])
    known = bool(np.isfinite(n_opt) and n_opt > 0)
    loss = float(evaluate(law, params, n_opt, flops / fit.cost(n_opt))) if known else None
    return MinimumForecast(
        "published exponents",
        f"E + A/N^{alpha:g} + B/D^{beta:g}, the exponents of Hoffmann et al. (2022); E, A and B fitted",
        loss,
        None,
        n_opt if known else None,
        None,
    )


def _through_minima(table: RunTable, flops: float, options: FitOptions) -> tuple[MinimumForecast, ...]:
    """Approach 2, and what the last minima of its curves give without any law."""
    frontier = fit_table(table, dataclasses.replace(options, approach=2))
    minima = [
        (b.flops, b.n_opt, b.loss_opt)
        for b in frontier.budgets or ()
        if b.n_opt is not None and b.loss_opt is not None
    ]
    found = [by_fit(frontier, predict(frontier, flops, force=True))]
    if len(minima) > 1:
        found.append(_log_linear(minima[-2], minima[-1], flops))
    if minima:
        at, n_opt, loss = minima[-1]
        form = f"the loss and N_opt of {at:.3g} FLOPs"
        found.append(MinimumForecast("no change", form, loss, None, n_opt, None))
    return tuple(found)


Minimum = tuple[float, float, float]
"""A budget in FLOPs, N_opt there in parameters, and the loss in nats per token."""


def _log_linear(before: Minimum, last: Minimum, flops: float) -> MinimumForecast:
    """Straight lines in logs through the last two minima: no irreducible loss."""
    (_, n_opt, loss), ratio = last, math.log(flops / last[0]) / math.log(last[0] / before[0])
    return MinimumForecast(
        "log-linear",
        f"straight lines in logs through the minima of {before[0]:.3g} and {last[0]:.3g} FLOPs",
        loss * (loss / before[2]) ** ratio,
        None,
        n_opt * (n_opt / before[1]) ** ratio,
        None,
    )
