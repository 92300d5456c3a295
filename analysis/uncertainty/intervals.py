"""Percentile intervals of bootstrap draws."""

from __future__ import annotations

import numpy as np

Interval = tuple[float | None, float | None]
"""Low and high; None at an end that nothing bounds."""

NO_WIDTH = 1e-12
"""Relative width of draws that do not differ."""


def span(draws_B: np.ndarray, level: float) -> Interval:
    """The central percentile interval of the finite draws; (None, None) where fewer than half are finite."""
    finite = draws_B[np.isfinite(draws_B)]
    if len(finite) < max(2, len(draws_B) / 2):
        return None, None
    # Draws without a value are no evidence of either side: an interval of the few others would be too narrow.
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def span_with(estimate: float | None, draws_B: np.ndarray, level: float) -> Interval:
    """`span`, stretched to the estimate: one at a bound has all its draws to one side."""
    low, high = span(draws_B, level)
    if low is None or high is None or estimate is None or not np.isfinite(estimate):
        return low, high
    return min(low, estimate), max(high, estimate)


def spread_about(estimate: float | None, draws_B: np.ndarray, level: float) -> Interval:
    """The central interval of the draws, moved so that their median is the estimate, and none below zero.

    An envelope of resampled runs lies above the envelope of all, and a redrawn table's about a smooth curve:
    the draws show the spread of the estimate, and not its place. (None, None) without an estimate, and where
    the draws don't differ: what is held at a bound has no interval.
    """
    low, high = span(draws_B, level)
    if low is None or high is None or estimate is None or not np.isfinite(estimate):
        return None, None
    middle = float(np.median(draws_B[np.isfinite(draws_B)]))
    if not high - low > NO_WIDTH * abs(middle):
        return None, None
    # What is positive is moved by a factor, so that it stays so: coefficients of power laws span decades.
    if low > 0 and estimate > 0:
        return estimate * min(low / middle, 1.0), estimate * max(high / middle, 1.0)
    moved = estimate - middle
    return min(max(low + moved, 0.0), estimate), high + moved
