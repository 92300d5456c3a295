"""The objective in which over-estimates count more: the law of well-tuned runs under one-sided noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, UserError, fit, table_of
from isoflop.commands.fit_text import fit_lines
from tests.support.true_laws import TRUTH, isoflop, simulate, spread

WEIGHT = 10.0
FAST = FitOptions(bootstrap=0, starts=64)


def misfortune(frame: pd.DataFrame, scale: float, seed: int) -> pd.DataFrame:
    """The runs with their losses raised by exponential noise of the log loss."""
    rise = np.random.default_rng([seed, 5]).exponential(scale, len(frame))
    return frame.assign(loss=frame["loss"] * np.exp(rise))


Design = Callable[[], tuple[np.ndarray, np.ndarray]]


def errors(design: Design, options: FitOptions, seeds: int) -> np.ndarray:
    """Root mean square error of E, alpha, beta and a over seeds."""
    truth = dict(zip(("E", "A", "alpha", "B", "beta"), TRUTH["chinchilla"], strict=True))
    true_a = truth["beta"] / (truth["alpha"] + truth["beta"])
    found = []
    for seed in range(seeds):
        table = table_of(misfortune(simulate(*design(), sd=0.0, seed=seed), 0.02, seed))
        fitted = fit(table, options)
        assert fitted.certificate is not None
        assert fitted.certificate.status == "certified"
        values = [fitted.params[name] - truth[name] for name in ("E", "alpha", "beta")]
        found.append([*values, fitted.exponents["a"] - true_a])
    return np.sqrt(np.mean(np.square(found), axis=0))


@pytest.mark.parametrize("loss", ["huber", "mse"])
def test_the_frontier_is_found_under_one_sided_noise(loss: Literal["huber", "mse"]) -> None:
    """Exponential noise of mean 2% above Besiroglu's law, eight tables of an IsoFLOP grid."""
    plain = dataclasses.replace(FAST, loss=loss)
    without = errors(isoflop, plain, 8)
    with_weight = errors(isoflop, dataclasses.replace(plain, overestimate_weight=WEIGHT), 8)
    assert np.all(with_weight < 0.75 * without), (with_weight, without)


@pytest.mark.slow
@pytest.mark.parametrize("design", [isoflop, spread])
def test_errors_are_half_of_the_symmetric_objective(design: Design) -> None:
    """What docs/fitting.md states: over 24 tables of each design."""
    without = errors(design, FAST, 24)
    with_weight = errors(design, dataclasses.replace(FAST, overestimate_weight=WEIGHT), 24)
    assert np.all(with_weight < 0.6 * without), (with_weight, without)


def test_few_runs_lie_below_the_law_and_the_output_says_what_was_minimized() -> None:
    table = table_of(misfortune(simulate(*spread(), 0.0, 0), 0.02, 0))
    fitted = fit(table, dataclasses.replace(FAST, overestimate_weight=WEIGHT))
    below = np.mean(table.loss_R < fitted.predict(table.N_R, table.D_R))
    assert below < 0.25
    assert fitted.objective is not None
    assert fitted.objective.overestimate_weight == WEIGHT
    assert any("runs below the law weigh 10 times" in str(line) for line in fit_lines(fitted))


def test_intervals_from_resampled_trunks_hold_the_estimate() -> None:
    """Noise about an envelope has a mean: drawn as if it had none, every refit would lie too low."""
    frame = misfortune(simulate(*isoflop(), 0.0, 0), 0.02, 0)
    frame = frame.assign(trunk_id=[f"trunk {i % 9}" for i in range(len(frame))])
    options = FitOptions(bootstrap=100, starts=64, overestimate_weight=WEIGHT)
    fitted = fit(table_of(frame), options)
    assert fitted.intervals is not None
    loss = fitted.losses(fitted.draws_BxP, 1e9, 2e10)
    low, high = np.quantile(loss, [0.025, 0.975])
    assert low < float(fitted.predict(1e9, 2e10)) < high


def test_a_weight_below_one_is_refused() -> None:
    with pytest.raises(UserError, match="overestimate_weight"):
        FitOptions(overestimate_weight=0.5)
