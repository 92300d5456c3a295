"""The three approaches side by side on simulated IsoFLOPs: the numbers that docs/approaches.md quotes."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.analysis import FitOptions, LawFit, find_law, fit, table_of
from isoflop.analysis.approaches.diagnostics import SURFACE
from isoflop.analysis.compute import SixN
from isoflop.analysis.options import Approach, Curve
from isoflop.analysis.result import optimal_size
from tests.support.surfaces import BESIROGLU, isoflops

TABLES = 30
EXPONENT = BESIROGLU[4] / (BESIROGLU[2] + BESIROGLU[4])


def covers(interval: tuple | None, truth: float) -> bool:
    low, high = interval or (None, None)
    return (low is None or low <= truth) and (high is None or truth <= high)


def minima(found: LawFit) -> list[tuple[bool, float]]:
    """(the interval holds N_opt, distance of the estimate in log N) of each budget with a minimum."""
    made = []
    for budget in found.budgets or ():
        if budget.n_opt is not None:
            truth = optimal_size(find_law(SURFACE), BESIROGLU, np.array([budget.flops]), SixN())[0]
            made.append((covers(budget.n_interval, truth), abs(np.log(budget.n_opt / truth))))
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("approach", "curve", "spread", "distance"),
    [
        (1, "parabola", 0.060, None),
        (2, "parabola", 0.018, 0.06),
        (2, "akima", 0.056, 0.21),
        (2, "argmin", 0.060, 0.20),
        (3, "parabola", 0.015, None),
    ],
)
def test_spread_and_coverage(approach: Approach, curve: Curve, spread: float, distance: float | None) -> None:
    """Six budgets, seven sizes over a factor of eight, half a percent of noise: spread of a, coverage."""
    fits = [
        fit(
            table_of(isoflops(sd=0.005, seed=seed)),
            FitOptions(approach=approach, curve=curve, bootstrap=200, starts=16),
        )
        for seed in range(TABLES)
    ]
    found = np.array([item.exponents["a"] for item in fits], dtype=float)
    assert found.mean() == pytest.approx(EXPONENT, abs=2.5 * spread / np.sqrt(TABLES))
    assert found.std() == pytest.approx(spread, rel=0.35)
    held = [covers(item.intervals.exponents["a"], EXPONENT) for item in fits if item.intervals]
    assert np.mean(held) >= 0.8
    if distance is not None:
        at = [minimum for item in fits for minimum in minima(item)]
        assert np.mean([hit for hit, _ in at]) >= 0.88
        assert np.mean([far for _, far in at]) == pytest.approx(distance, rel=0.25)
