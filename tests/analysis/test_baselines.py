"""Forecasts of a budget's minimum by simple methods, and of single runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, RunTable, fit, predict, table_of
from isoflop.analysis.planning.baselines import baselines, by_fit
from isoflop.analysis.planning.minimum_forecast import MinimumForecast
from isoflop.analysis.planning.predictive import predicted_minimum
from isoflop.analysis.planning.run_forecasts import forecast_runs

QUICK = FitOptions(bootstrap=0, starts=64)
BUDGET = 1e20


def isoflops(alpha: float, beta: float, noise: float = 0.0, E: float = 1.7, seed: int = 0) -> RunTable:
    """Five budgets by seven sizes around their minima, of E + 400/N^alpha + 2000/D^beta."""
    rng = np.random.default_rng(seed)
    rows = []
    for C in np.geomspace(1e17, 1e19, 5):
        best = (alpha * 400 / (beta * 2000)) ** (1 / (alpha + beta)) * (C / 6) ** (beta / (alpha + beta))
        for N in best * np.geomspace(0.4, 2.5, 7):
            D = C / (6 * N)
            loss = (E + 400 / N**alpha + 2000 / D**beta) * np.exp(noise * rng.standard_normal())
            rows.append({"n_params": N, "n_tokens": D, "flops": C, "budget": C, "loss": loss})
    return table_of(pd.DataFrame(rows))


def forecasts(table: RunTable) -> dict[str, MinimumForecast]:
    """Each baseline's, by its name."""
    found, left_out = baselines(table, fit(table, QUICK), BUDGET, QUICK)
    assert left_out == ()
    return {forecast.method: forecast for forecast in found}


def test_published_exponents_find_a_table_that_has_them() -> None:
    table = isoflops(0.34, 0.28)
    truth = predict(fit(table, QUICK), BUDGET)
    found = forecasts(table)["published exponents"]
    assert found.loss == pytest.approx(truth.loss, rel=1e-4)
    assert found.n_opt == pytest.approx(truth.n_opt, rel=1e-2)


def test_log_linear_finds_a_power_law_without_a_floor() -> None:
    table = isoflops(0.3, 0.3, E=0.0)  # the least loss is then a power of C
    found = forecasts(table)["log-linear"]
    n_opt = (400 / 2000) ** (1 / 0.6) * (BUDGET / 6) ** 0.5
    d_opt = BUDGET / 6 / n_opt
    assert found.n_opt == pytest.approx(n_opt, rel=0.02)
    assert found.loss == pytest.approx(400 / n_opt**0.3 + 2000 / d_opt**0.3, rel=0.01)


def test_no_change_is_the_last_budgets_minimum() -> None:
    table = isoflops(0.34, 0.28)
    frontier = fit(table, QUICK, approach=2)
    assert frontier.budgets
    last = frontier.budgets[-1]
    found = forecasts(table)["no change"]
    assert (found.loss, found.n_opt) == (last.loss_opt, last.n_opt)
    assert found.loss_interval is None


def test_a_fits_forecast_is_its_predictive_minimum() -> None:
    fitted = fit(isoflops(0.34, 0.28, noise=0.002), bootstrap=40, starts=64)
    predicted, shown = predict(fitted, BUDGET), predicted_minimum(fitted, BUDGET)
    found = by_fit(fitted, predicted)
    assert (found.method, found.loss, found.n_opt) == ("chinchilla", predicted.loss, predicted.n_opt)
    assert (found.loss_interval, found.n_interval) == (shown.loss_interval, shown.n_interval)
    assert found.loss_interval is not None
    assert predicted.loss_interval is not None
    wide, narrow = (
        np.ptp(np.array(interval, dtype=float)) for interval in (found.loss_interval, predicted.loss_interval)
    )
    assert wide > narrow


def test_a_table_without_isoflops_leaves_baselines_out() -> None:
    rng = np.random.default_rng(0)
    N, D = 10 ** rng.uniform(6, 8, 40), 10 ** rng.uniform(8, 10, 40)
    loss = 1.7 + 400 / N**0.34 + 2000 / D**0.28
    table = table_of(pd.DataFrame({"n_params": N, "n_tokens": D, "flops": 6 * N * D, "loss": loss}))
    found, left_out = baselines(table, fit(table, QUICK), BUDGET, QUICK)
    assert [forecast.method for forecast in found] == ["published exponents"]
    assert len(left_out) == 1
    assert left_out[0].startswith("baselines left out: ")


def test_intervals_of_runs_hold_nineteen_of_twenty() -> None:
    alpha, beta, noise, inside, count = 0.34, 0.28, 0.01, 0, 0
    N = np.full(50, 1e8)
    D = np.full(50, 1e10)
    rng = np.random.default_rng(1)
    for seed in range(6):
        fitted = fit(isoflops(alpha, beta, noise, seed=seed), bootstrap=200, starts=64)
        _, intervals = forecast_runs(fitted, N, D)
        runs = (1.7 + 400 / N**alpha + 2000 / D**beta) * np.exp(noise * rng.standard_normal(50))
        for loss, (low, high) in zip(runs, intervals, strict=True):
            assert low is not None
            assert high is not None
            inside, count = inside + (low <= loss <= high), count + 1
    assert 0.85 <= inside / count <= 1.0
