"""The losses of runs that are not there yet, with predictive intervals."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.planning.predictive import RunDraws
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval


def forecast_runs(
    fit: LawFit, N_R: np.ndarray, D_R: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, tuple[Interval, ...]]:
    """Losses (R,) in nats per token of R runs of N parameters and D tokens, and their predictive intervals:
    of the run's noise, the fit's uncertainty and the law's form. (None, None) of a fit without a bootstrap.
    """
    C_R = fit.cost(N_R) * D_R
    draws = RunDraws(fit, N_R, D_R, C_R, lambda law: law.fill(N_R, D_R, C_R), np.random.default_rng(seed))
    if fit.intervals is None:
        return draws.predicted_R, ((None, None),) * len(N_R)
    return draws.predicted_R, tuple(draws.intervals(fit.intervals.level))
