"""The report's table of what to train next."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, fit, predict, table_of
from isoflop.analysis.reporting.report_data import ReportData, analyze
from isoflop.analysis.reporting.tables import Cell
from isoflop.analysis.reporting.training_plan import DEVICE, HERE, ON_DEVICE, TIMES, measured_rate, plan_table
from tests.support.surfaces import spread_runs


def reported(frame: pd.DataFrame, bootstrap: int = 0) -> ReportData:
    """What a report says of the runs, with a fit of few starts."""
    table = table_of(frame)
    return analyze(table, given=fit(table, FitOptions(bootstrap=bootstrap, starts=16)))


def value(cell: Cell) -> float:
    """What a cell sorts by."""
    assert not isinstance(cell, str)
    return cell[1]


@pytest.fixture(scope="module")
def large() -> ReportData:
    """Runs of models large enough for a GPU, timed: 3e14 FLOP/s."""
    frame = spread_runs(60, 0.01)
    flops_per_token = 6 * frame["n_params"]
    return reported(frame.assign(tokens_per_second=3e14 / flops_per_token), 40)


def test_it_answers_as_predict_does(large: ReportData) -> None:
    table = plan_table(large)
    assert table.headers[-2:] == (HERE, ON_DEVICE)
    assert len(table.rows) == len(TIMES)
    for times, row in zip(TIMES, table.rows, strict=True):
        answer = predict(large.fit, times * float(large.table.C_R.max()))
        found = dict(zip(table.headers, row, strict=True))
        assert value(found["N"]) == answer.n_opt
        assert value(found["tokens"]) == answer.d_opt
        assert value(found[HERE]) == pytest.approx(answer.flops / 3e14)
        # 989.4 dense TFLOP/s in bf16 at 45%
        hours = float(str(found[ON_DEVICE]).partition(" ")[0])
        assert hours == pytest.approx(answer.flops / 989.4e12 / 0.45 / 3600, rel=0.06)
    assert DEVICE.upper() in table.caption
    assert "40% to 50% of its peak" in table.caption


def test_small_models_are_not_priced_on_a_gpu_nor_timed_without_times() -> None:
    frame = spread_runs(60, 0.01)
    small = frame.assign(n_params=frame["n_params"] / 1e4, n_tokens=frame["n_tokens"] / 1e4)
    table = plan_table(reported(small.drop(columns="flops", errors="ignore")))
    assert HERE not in table.headers
    assert ON_DEVICE not in table.headers
    assert table.rows


def test_what_a_fit_does_not_carry_is_said() -> None:
    N = np.geomspace(1e8, 1e10, 40)
    frame = spread_runs(40, 0.002).assign(n_params=N, n_tokens=20 * N, loss=2 + 400 / N**0.34)
    table = plan_table(reported(frame.drop(columns="flops", errors="ignore")))
    assert len(table.rows) == 1
    assert "No further: " in table.caption
    assert "not identified" in table.caption


def test_a_table_without_times_has_no_rate() -> None:
    assert measured_rate(reported(spread_runs(30, 0.01))) is None
