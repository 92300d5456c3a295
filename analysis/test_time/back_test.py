"""How far coverage may be extrapolated in k: what fewer samples would have predicted of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from isoflop.analysis.test_time.attempts import Attempts
from isoflop.analysis.test_time.curve_law import fit_curves
from isoflop.analysis.test_time.pass_at_k import counts_of_samples, pass_at_k
from isoflop.analysis.test_time.success_tail import fit_success_tail
from isoflop.analysis.uncertainty.intervals import Interval, span

Method = Literal["law", "tail"]
FEWEST_SAMPLES = 8
"""Samples below which no law is fitted: a curve of two or three points has none."""
STEP = 2
"""Factor between the distances tried."""
DRAWS, THINNINGS = 160, 8
"""Resamples of the problems, and how many ways the samples are thinned among them."""
TOLERANCE = 0.01
"""Coverage that a prediction may be wrong by, whatever its interval: one problem in a hundred."""


@dataclass(frozen=True)
class BackTest:
    """Coverage at all n samples, predicted from a `factor`-th of them."""

    method: Method
    factor: int
    k: int
    predicted: float
    measured: float
    difference_interval: Interval
    """Predicted less measured, over resampled problems."""
    holds: bool
    """Whether the interval holds 0, or the prediction is wrong by less than one problem in a hundred."""


def back_tests(attempts: Attempts, level: float, seed: int) -> tuple[BackTest, ...]:
    """Both extrapolations, by the law and by the tail, over growing factors; empty with too few samples."""
    n, rng = attempts.most_samples, np.random.default_rng([seed, 1])
    P = len(attempts)
    weight_BxP = np.concatenate([np.ones((1, P)), rng.multinomial(P, np.full(P, 1 / P), size=DRAWS)])
    measured_B = weight_BxP @ pass_at_k(attempts.n_P, attempts.c_P, np.array([n]))[:, 0] / P
    found, factor = [], STEP
    while n // factor >= FEWEST_SAMPLES:
        for method, predict in ROUTES:
            predicted_B = predict(attempts, weight_BxP, factor, rng)
            interval = span((predicted_B - measured_B)[1:], level)
            miss = float(predicted_B[0] - measured_B[0])
            low, high = interval
            inside = low is not None and high is not None and low <= 0.0 <= high
            holds = bool(inside or abs(miss) <= TOLERANCE)
            found.append(
                BackTest(method, factor, n, float(predicted_B[0]), float(measured_B[0]), interval, holds)
            )
        factor *= STEP
    return tuple(found)


def reach(tests: tuple[BackTest, ...], method: Method) -> int:
    """The largest factor up to which every back-test of a method holds; 1 where the first fails."""
    farthest = 1
    for test in (test for test in tests if test.method == method):
        if not test.holds:
            break
        farthest = test.factor
    return farthest


def _by_law(attempts: Attempts, weight_BxP: np.ndarray, factor: int, rng: np.random.Generator) -> np.ndarray:
    """Coverage at n by the law of the curve up to n / factor."""
    n = attempts.most_samples
    k_K = counts_of_samples(n // factor)
    curves_BxK = weight_BxP @ pass_at_k(attempts.n_P, attempts.c_P, k_K) / len(attempts)
    return fit_curves(k_K, curves_BxK).coverage(np.array([n]))[:, 0]


def _by_tail(attempts: Attempts, weight_BxP: np.ndarray, factor: int, rng: np.random.Generator) -> np.ndarray:
    """Coverage at n by the distribution of success rates that a factor-th of the samples show."""
    # Which samples would have been taken is chance too: each share of the resamples has its own.
    parts, firsts = [], []
    for weight_RxP in np.array_split(weight_BxP[1:], THINNINGS):
        thinned = attempts.thinned(1.0 / factor, rng)
        tail = fit_success_tail(thinned, np.concatenate([weight_BxP[:1], weight_RxP]))
        predicted = tail.coverage(np.array([attempts.most_samples]))[:, 0]
        firsts.append(predicted[0])
        parts.append(predicted[1:])
    return np.concatenate([[np.mean(firsts)], *parts])


ROUTES: tuple[tuple[Method, Callable[..., np.ndarray]], ...] = (("law", _by_law), ("tail", _by_tail))
"""How coverage at a larger k is predicted."""
