"""Rolling hold-outs: a growing cut, errors and coverage against distance."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from isoflop.analysis import FitOptions, LawFit, Rolling, UserError, fit, rolling, table_of
from isoflop.analysis.figures.figure_data import render
from isoflop.analysis.figures.rolling import RollingHoldouts
from isoflop.commands.fit_text import rolling_lines
from tests.support.surfaces import isoflops, spread_runs

FAST = FitOptions(bootstrap=40)


@pytest.fixture(scope="module")
def found() -> Rolling:
    """Six budgets of seven runs on a chinchilla surface, 0.3% noise."""
    return rolling(table_of(isoflops(0.003, seed=1)), FAST)


def test_every_run_above_every_cut_is_predicted_once(found: Rolling) -> None:
    assert [cut.n_fit for cut in found.cuts] == [14, 21, 28, 35]
    assert [len(cut.runs) for cut in found.cuts] == [28, 21, 14, 7]
    assert [len(cut.minima) for cut in found.cuts] == [4, 3, 2, 1]
    assert sum(band.runs for band in found.bands) == found.all.runs == 70
    assert found.skipped == ("below 3.981e+18 FLOPs: 7 runs, fewer than 10",)
    for cut in found.cuts:
        assert all(run.flops > cut.c_fitted for run in cut.runs)
        assert cut.laws[0] == "chinchilla"
        assert len(cut.laws) > 2


def test_errors_are_those_of_one_holdout_and_grow_with_distance(found: Rolling) -> None:
    last = found.cuts[-1]
    alone = fit(table_of(isoflops(0.003, seed=1)), FitOptions(bootstrap=0, starts=64, holdout=last.c_min))
    assert alone.holdout is not None
    errors = [run.error for run in alone.holdout.rows]
    assert [run.error for run in last.runs] == pytest.approx(errors)
    first, furthest = found.bands[0], found.bands[-1]
    assert first.mean_abs_error is not None
    assert furthest.mean_abs_error is not None
    assert furthest.mean_abs_error > first.mean_abs_error
    assert furthest.half_width is not None
    assert first.half_width is not None
    assert furthest.half_width > first.half_width


def test_intervals_hold_where_the_law_is_right(found: Rolling) -> None:
    assert found.all.coverage is not None
    assert found.all.coverage >= 0.85
    assert found.all.loss_coverage is not None
    assert found.all.loss_coverage >= 0.85


def test_bands_are_means_over_their_predictions(found: Rolling) -> None:
    frame = found.predictions_frame()
    runs = frame.query("what == 'run'")
    assert len(runs) == found.all.runs
    error = (runs["loss"] - runs["predicted"]).abs()
    assert found.all.mean_abs_error == pytest.approx(error.mean())
    near = runs["distance"] <= 4.0 * (1 + 1e-9)
    assert int(np.sum(near)) == sum(band.runs for band in found.bands if band.high and band.high <= 4)
    inside = (runs["low"] <= runs["loss"]) & (runs["loss"] <= runs["high"])
    assert found.all.coverage == pytest.approx(inside.mean())


def test_it_is_json_text_and_figure(found: Rolling) -> None:
    again = Rolling.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again == found
    text = "\n".join(rolling_lines(found))
    assert "fitted below 4 cuts" in text
    assert all(band.name in text for band in found.bands)
    assert "7 runs, fewer than 10" in text
    figure = RollingHoldouts.of(found, " nats")
    assert figure is not None
    drawn, hover = render(figure)
    assert len(drawn.axes) == 2
    assert sum(len(words) for _, words in hover) >= found.all.runs + found.all.minima
    assert f"of {found.bands[0].runs} runs" in figure.description
    assert RollingHoldouts.of(None, "") is None


def test_a_table_without_budgets_is_cut_by_factors_of_two() -> None:
    rolled = rolling(table_of(spread_runs(40, 0.01)), FAST)
    cuts = [cut.c_min for cut in rolled.cuts]
    assert len(cuts) <= 8
    assert np.all(np.diff(cuts) > 0)
    assert all(cut.minima == () for cut in rolled.cuts)
    assert rolled.all.minima == 0
    assert rolled.all.loss_coverage is None
    assert any("fewer than 10" in why for why in rolled.skipped)


def test_what_cannot_be_rolled_is_refused() -> None:
    frame = isoflops(0.003)
    one = frame.query("budget == budget.max()")
    with pytest.raises(UserError, match=r"has one budget, 1e\+21 FLOPs: rolling hold-outs fit smaller"):
        rolling(table_of(one.reset_index(drop=True)), FAST)
    with pytest.raises(UserError, match="no cut leaves 10 runs below it"):
        rolling(table_of(frame.groupby("budget").head(1).reset_index(drop=True)), FAST)
    with pytest.raises(UserError, match="need a surface"):
        rolling(table_of(frame), FitOptions(approach=2))


def test_it_travels_with_the_fit(found: Rolling) -> None:
    whole = fit(table_of(isoflops(0.003, seed=1)), FitOptions(bootstrap=0, starts=4))
    both = dataclasses.replace(whole, rolling=found)
    assert LawFit.from_json(json.loads(json.dumps(both.to_json()))).rolling == found
