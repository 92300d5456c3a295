"""The learning-rate rule found again from losses made by a known one."""

from __future__ import annotations

import math

import pytest

from isoflop.base.errors import UserError
from isoflop.sweeps.grids.config import Rates
from isoflop.sweeps.grids.rates import tune

TRIED = (0.25, 0.5, 1.0, 2.0, 4.0)


def trials(rates: Rates, best: dict[int, float]) -> list[tuple[int, float, float, float]]:
    """Losses that are a parabola in the log of the rate, with its vertex at each width's `best`."""
    return [
        (width, budget, lr, 2.0 + 0.1 * math.log(lr / best[width]) ** 2)
        for width, budget in rates.anchors
        for lr in (rates.at(width) * factor for factor in rates.tried)
    ]


def test_a_power_of_the_width_is_recovered() -> None:
    rates = Rates(0.1, 0.5, TRIED, ((8, 1e9), (16, 1e9), (32, 2e9)))
    truth = {width: 0.3 * width**-0.9 for width in (8, 16, 32)}
    tuned = tune(rates, trials(rates, truth))
    assert tuned.rates.exponent == pytest.approx(0.9, abs=1e-3)
    assert tuned.rates.coefficient == pytest.approx(0.3, rel=1e-3)
    assert [a.lr for a in tuned.anchors] == pytest.approx(list(truth.values()), rel=1e-6)
    assert not tuned.warnings
    assert tuned.rates.tried == ()


def test_one_anchor_keeps_the_exponent() -> None:
    rates = Rates(0.1, 0.7, TRIED, ((16, 1e9),))
    tuned = tune(rates, trials(rates, {16: 0.02}))
    assert tuned.rates.exponent == 0.7
    assert tuned.rates.at(16) == pytest.approx(0.02, rel=1e-3)


def test_the_same_width_at_two_budgets_keeps_the_exponent_too() -> None:
    rates = Rates(0.1, 0.7, TRIED, ((16, 1e9), (16, 4e9)))
    tuned = tune(rates, trials(rates, {16: 0.02}))
    assert tuned.rates.exponent == 0.7
    assert tuned.rates.at(16) == pytest.approx(0.02, rel=1e-3)


@pytest.mark.parametrize(("best", "edge", "word"), [(1e-6, 0.25, "lowest"), (1e3, 4.0, "highest")])
def test_a_best_rate_at_the_edge_is_flagged_and_stands(best: float, edge: float, word: str) -> None:
    rates = Rates(0.1, 0.5, TRIED, ((16, 1e9),))
    tuned = tune(rates, trials(rates, {16: best}))
    assert tuned.anchors[0].at_edge
    assert tuned.anchors[0].lr == pytest.approx(rates.at(16) * edge)
    [warning] = tuned.warnings
    assert word in warning
    assert "widen rates.tried" in warning


def test_rates_that_diverged_are_left_out() -> None:
    rates = Rates(0.1, 0.5, TRIED, ((16, 1e9),))
    tries = trials(rates, {16: rates.at(16) * 0.7})
    wild = [(w, b, lr, math.nan if lr > rates.at(16) * 3 else loss) for w, b, lr, loss in tries]
    assert tune(rates, wild).anchors[0].lr == pytest.approx(rates.at(16) * 0.7, rel=1e-6)
    with pytest.raises(UserError, match="no learning rate tried at width 16 gave a loss"):
        tune(rates, [(w, b, lr, math.nan) for w, b, lr, _ in tries])
