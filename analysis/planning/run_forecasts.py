"""The loss of runs that are not there yet, with an interval that holds the fit's doubt and a run's noise."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval, span_with


def forecast_runs(
    fit: LawFit, N_R: np.ndarray, D_R: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, tuple[Interval, ...]]:
    """Losses (R,) in nats per token of R runs of N parameters and D tokens, and their predictive intervals.

    An interval is of the fit's draws, each with a normal error of the log loss: the spread about the fit or
    that between seeds, whichever is larger. (None, None) of a fit without a bootstrap.
    """
    loss_R = fit.predict(N_R, D_R)
    if not len(fit.draws_BxP) or fit.intervals is None:
        return loss_R, ((None, None),) * len(loss_R)
    seeds = fit.conventions.seed_sd_nats or 0.0
    noise_R = np.maximum(fit.conventions.residual_log_sd, seeds / loss_R)
    draws_BxR = fit.losses(fit.draws_BxP, N_R, D_R)
    rng = np.random.default_rng(seed)
    # One error a draw for all runs: each run's interval is its own, and seeds of one cell have the same.
    draws_BxR = draws_BxR * np.exp(noise_R * rng.standard_normal((len(draws_BxR), 1)))
    level = fit.intervals.level
    return loss_R, tuple(
        span_with(float(loss), draws_B, level) for loss, draws_B in zip(loss_R, draws_BxR.T, strict=True)
    )
