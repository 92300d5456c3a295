"""Intervals of every approach hold their own estimate and have a width; what is not known is marked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, LawFit, fit, predict, table_of
from isoflop.analysis.isoflops.power_laws import LOSS_EXPONENTS, loss_curve
from isoflop.analysis.options import Approach
from tests.support import simulate

E, A, ALPHA, B, BETA = 1.9, 400.0, 0.34, 900.0, 0.32


def isoflops(budgets: int, seed: int, sd: float = 0.002, sizes: int = 5) -> pd.DataFrame:
    """IsoFLOPs of the law above, from 1e18 FLOPs on, each budget three times the last."""
    rng = np.random.default_rng(seed)
    C = np.repeat(1e18 * 3.0 ** np.arange(budgets), sizes)
    centre = 7e7 * (C / 1e18) ** (BETA / (ALPHA + BETA))
    N = centre * np.tile(np.geomspace(0.35, 2.8, sizes), budgets)
    loss = E + A / N**ALPHA + B / (C / 6 / N) ** BETA
    return pd.DataFrame(
        {
            "n_params": N,
            "n_tokens": C / 6 / N,
            "budget": C,
            "loss": loss * np.exp(sd * rng.standard_normal(len(N))),
        }
    )


def best_loss(C: float) -> float:
    N = np.geomspace(1e6, 1e12, 20_001)
    return float((E + A / N**ALPHA + B / (C / 6 / N) ** BETA).min())


def spans_of(found: LawFit) -> list[tuple[str, float | None, tuple[float | None, float | None]]]:
    assert found.intervals is not None
    return [
        (name, value, spans[name])
        for values, spans in (
            (found.params, found.intervals.params),
            (found.exponents, found.intervals.exponents),
        )
        for name, value in values.items()
    ]


def check(found: LawFit) -> None:
    for name, value, (low, high) in spans_of(found):
        if low is not None and high is not None and value is not None:
            assert low <= value <= high, (name, value, low, high)
            assert low < high, name


@pytest.mark.parametrize("approach", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_every_interval_holds_its_estimate(approach: Approach, seed: int) -> None:
    options = FitOptions(approach=approach, bootstrap=200, starts=16)
    check(fit(table_of(isoflops(4 + seed % 3, seed, 0.004)), options))
    check(fit(table_of(simulate.grid(seed)), options))


@pytest.mark.parametrize("seed", range(4))
def test_three_minima_leave_the_loss_curve_unidentified(seed: int) -> None:
    found = fit(table_of(isoflops(3, seed)), FitOptions(approach=2, bootstrap=200))
    assert found.identified["a"]
    assert not any(found.identified[name] for name in ("loss_E", "loss_K", "loss_gamma"))
    assert any("loss curve" in line and "3 minima" in line for line in found.warnings)
    check(found)
    for C in (1e20, 1e21):
        answer = predict(found, C)
        assert any("loss as a guess" in line for line in answer.warnings)
        assert answer.loss_interval is None


def test_a_floor_at_its_bound_is_not_identified() -> None:
    """Losses that fall along a straight line of log C have no floor above zero."""
    frame = isoflops(5, 0)
    falling = 3.6 - 0.12 * np.log(frame["budget"] / 1e18)
    least = frame.groupby("budget")["loss"].transform("min")
    found = fit(
        table_of(frame.assign(loss=frame["loss"] - least + falling)), FitOptions(approach=2, bootstrap=200)
    )
    assert found.params["loss_E"] == 0
    assert not found.identified["loss_E"]
    check(found)


def test_enough_minima_give_an_interval_that_holds_the_truth() -> None:
    held, truth = [], best_loss(1e21)
    for seed in range(20):
        found = fit(table_of(isoflops(6, seed, 0.001)), FitOptions(approach=2, bootstrap=200))
        answer = predict(found, 1e21)
        assert answer.loss_interval is not None
        low, high = answer.loss_interval
        assert low is not None
        assert high is not None
        held.append(low - 0.01 <= truth <= high + 0.01)  # a parabola has a bias of its own
    assert np.mean(held) >= 0.8


@pytest.mark.parametrize("gamma", [0.0213, 0.1234567, 0.7])
def test_the_exponent_is_no_step_of_a_grid(gamma: float) -> None:
    C = np.geomspace(1e18, 1e21, 6)
    found = loss_curve(C, (1.5 + (C / 1e19) ** -gamma)[None])[0]
    assert found[2] == pytest.approx(gamma, rel=1e-5)
    assert np.abs(LOSS_EXPONENTS / gamma - 1).min() > 1e-4
