"""What a perfect memory is worth: coverage of a policy that never draws a wrong chain twice, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

STEP = 0.05
"""Of the logarithm of time, over which is integrated: errors are below 1e-9."""
EARLIEST, LATEST = -25.0, 50.0
"""Logarithm of the first time, and the last in units of the mean time until a right chain is drawn."""


def coverage_without_repeats(
    wrong_C: NDArray[np.float64], right: float, draws: int, *, fresh: float = 0.0
) -> NDArray[np.float64]:
    """The chance (draws,) that a right chain is among the first 1, 2, ... that are drawn without repeats.

    `wrong_C`: the chance of each wrong chain; `right`: of all right ones; `fresh`: of what is wrong and never
    the same twice. They sum to 1. After each draw the chances of what is left are what they were, over their
    sum. That is the order in which independent exponential clocks of these rates ring, so that the first k
    are wrong if at least k wrong ones ring before the first right one: given its time T, clock i has rung
    with a chance of 1 - exp(-p_i T), and the fresh ones are a Poisson process.
    """
    if right <= 0.0:
        return np.zeros(draws)
    log_time_Q = np.arange(EARLIEST, np.log(LATEST / right), STEP)
    time_Q = np.exp(log_time_Q)
    # The density of T, over log T.
    weight_Q = STEP * right * time_Q * np.exp(-right * time_Q)
    rung_QxK = poisson.pmf(np.arange(draws), fresh * time_Q[:, None])
    for chance in wrong_C:
        rings_Qx1 = -np.expm1(-chance * time_Q)[:, None]
        more_QxK = np.concatenate([np.zeros_like(rings_Qx1), rung_QxK[:, :-1]], axis=1)
        rung_QxK = rung_QxK * (1.0 - rings_Qx1) + more_QxK * rings_Qx1
    # Fewer than k wrong ones before the first right one: among the first k draws one is right.
    return weight_Q @ np.cumsum(rung_QxK, axis=1)
