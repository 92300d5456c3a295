"""Predictive intervals: noise, the fit's uncertainty and the law's form, from fit.json alone."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, LawFit, UserError, fit, predict, table_of
from isoflop.analysis.planning.predictive import (
    DRAWS,
    NO_FORMS,
    predicted_minimum,
    predicted_run,
    run_noise_draws,
)
from tests.support.surfaces import BESIROGLU, isoflops, spread_runs

SD = 0.005


@pytest.fixture(scope="module")
def mixed() -> LawFit:
    """IsoFLOPs with noise, fitted below the largest budget with every other law beside."""
    return fit(
        table_of(isoflops(SD, seed=3)),
        FitOptions(bootstrap=60, starts=16, forms=True, holdout=0.99e21),
    )


@pytest.fixture(scope="module")
def alone(mixed: LawFit) -> LawFit:
    """The same without the other laws."""
    return dataclasses.replace(mixed, forms=None)


def width(interval: tuple[float | None, float | None]) -> float:
    low, high = interval
    assert low is not None
    assert high is not None
    return high - low


def test_all_that_is_needed_travels_in_the_json_of_the_fit(mixed: LawFit) -> None:
    text = json.dumps(mixed.to_json(), allow_nan=False)
    assert len(text) < 200_000
    again = LawFit.from_json(json.loads(text))
    assert predicted_run(again, 1e9, 3e10) == predicted_run(mixed, 1e9, 3e10)
    assert predicted_minimum(again, 3e21) == predicted_minimum(mixed, 3e21)


def test_laws_take_part_by_their_residuals_and_columns(mixed: LawFit) -> None:
    assert mixed.forms is not None
    names = {form.law for form in mixed.forms.rivals}
    assert {"gadre", "skaling"} <= names
    assert not names & {"chinchilla", "general", "kaplan_compute"}
    assert "n_tokens_unique" in mixed.forms.left_out["muennighoff"]
    quiet = fit(table_of(isoflops(SD / 20)), FitOptions(bootstrap=20, starts=16, forms=True))
    assert quiet.forms is not None
    assert "times those of the best law" in quiet.forms.left_out["product"]


def test_the_interval_has_three_parts_and_widens_with_distance(mixed: LawFit, alone: LawFit) -> None:
    near, far = (predicted_run(mixed, N, D) for N, D in ((1e9, 2e10), (3e11, 6e12)))
    assert near.parts.form is not None
    assert far.parts.form is not None
    assert min(near.parts.form, far.parts.form) > 0
    assert width(far.interval) > 2 * width(near.interval)
    assert near.parts.noise == pytest.approx(near.loss * 1.96 * SD, rel=0.5)
    without = predicted_run(alone, 3e11, 6e12)
    assert without.parts.form is None
    assert (without.parts.noise, without.parts.fit) == pytest.approx(
        (far.parts.noise, far.parts.fit), rel=0.1
    )
    assert width(far.interval) > width(without.interval)
    low, high = far.interval
    assert low is not None
    assert high is not None
    assert low <= far.loss <= high


def test_held_out_runs_and_their_minimum_lie_inside(mixed: LawFit) -> None:
    assert mixed.holdout is not None
    assert mixed.holdout.coverage is not None
    assert mixed.holdout.coverage >= 6 / 7
    best = mixed.holdout.optimum
    assert best is not None
    assert best.loss_opt is not None
    assert best.loss_opt_interval is not None
    low, high = best.loss_opt_interval
    assert low is not None
    assert high is not None
    assert low <= best.loss_opt <= high


def test_a_run_s_noise_covers_runs_of_the_true_law() -> None:
    """2,000 new runs on the truth, 60 fitted: nominal 95%, of which the fit's own error takes its part."""
    found = fit(table_of(spread_runs(60, 0.01, seed=5)), FitOptions(bootstrap=60, starts=16))
    rng = np.random.default_rng(0)
    A = BESIROGLU
    inside = []
    for N, D in ((2e8, 5e9), (1e9, 3e10), (5e9, 1e11)):
        run = predicted_run(found, N, D)
        low, high = run.interval
        true = A[0] + A[1] / N ** A[2] + A[3] / D ** A[4]
        losses = true * np.exp(0.01 * rng.standard_normal(2000))
        inside.append(np.mean((low <= losses) & (losses <= high)))
    assert 0.9 < np.mean(inside) < 0.995


def test_the_noise_of_seeds_counts_where_it_is_larger_than_the_residuals(alone: LawFit) -> None:
    rng = np.random.default_rng(0)
    frame = isoflops(SD, seed=3)
    twice = [frame, frame.assign(loss=frame["loss"] * np.exp(0.05 * rng.standard_normal(len(frame))))]
    noisy = fit(table_of(pd.concat(twice, ignore_index=True)), FitOptions(bootstrap=20, starts=4))
    assert noisy.noise is not None
    mixture = dataclasses.replace(alone, noise=noisy.noise)
    C, ones = np.array([1e20]), np.ones(DRAWS)
    quiet, loud = (np.std(run_noise_draws(f, C, ones, np.random.default_rng(1))) for f in (alone, mixture))
    assert quiet == pytest.approx(SD, rel=0.4)
    assert loud == pytest.approx(0.05 / np.sqrt(2), rel=0.5)


def test_more_seeds_steady_the_minimum_that_is_measured(mixed: LawFit) -> None:
    one, four = (predicted_minimum(mixed, 3e21, seeds=k) for k in (1, 4))
    assert four.parts.noise == pytest.approx(one.parts.noise / 2, rel=0.25)
    assert width(four.n_interval) < width(one.n_interval)
    assert one.sizes[2] == pytest.approx(one.n_opt)


def test_a_prediction_says_what_it_lacks(mixed: LawFit, alone: LawFit) -> None:
    found, bare = predict(mixed, 3e21), predict(alone, 3e21)
    assert NO_FORMS in bare.warnings
    assert NO_FORMS not in found.warnings
    assert found.run is not None
    assert found.loss_interval is not None
    assert width(found.run.interval) > width(found.loss_interval)
    assert found.loss_interval == bare.loss_interval  # the law's own, by its bootstrap


def test_parabolas_have_no_surface_to_predict_runs_from() -> None:
    parabolas = fit(table_of(isoflops(SD)), FitOptions(approach=2, bootstrap=20))
    with pytest.raises(UserError, match="fits no surface"):
        predicted_run(parabolas, 1e9, 1e10)
    assert predict(parabolas, 1e21).run is None
