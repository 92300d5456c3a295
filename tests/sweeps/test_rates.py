"""The learning-rate rule found again from losses made by a known one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.base.errors import UserError
from isoflop.sweeps.grids.rates import Rates
from isoflop.sweeps.grids.tuning import EXPONENT_SD, LEAST_NOISE, Trial, TunedRates, tune
from tests.support.examples import examples

RATES = Rates(0.003, 0.1, 0.15, 1e6, (0.35, 0.7, 1.4, 2.8), (16, 48), (2.5e5, 1e6), seeds=2)
TRUTH = Rates(0.0042, 0.3, 0.3, 1e6)
CURVATURE = 0.05
PLACES = ((24, 5e5), (32, 1e6), (96, 8e6))
"""Where rules are compared: among what is tuned, and beyond it."""


def trials(
    rates: Rates = RATES,
    truth: Rates = TRUTH,
    *,
    noise: float = 0.0,
    seed: int = 0,
    tails: bool = False,
    curvature: float = CURVATURE,
) -> list[Trial]:
    """Tuning runs whose losses are parabolas in the log of the rate about the true rule's, with noise:
    normal, or of Student's t with two degrees of freedom, whose variance is infinite."""
    draw = np.random.default_rng(seed)
    error = (lambda: draw.standard_t(2)) if tails else draw.standard_normal
    found = []
    for width in rates.widths:
        for tokens in rates.horizons:
            level = 2.0 + 0.3 * math.log(64 / width) - 0.1 * math.log(tokens / 1e6)
            for factor in (factor for factor in rates.tried for _ in range(rates.seeds)):
                lr = factor * rates.at(width, tokens)
                miss = math.log(lr / truth.at(width, tokens))
                found.append(Trial(width, tokens, lr, level + curvature * miss**2 + noise * error()))
    return found


def numbers(rates: Rates) -> tuple[float, float, float]:
    """The rule's three."""
    return rates.coefficient, rates.exponent, rates.token_exponent


def test_a_rule_without_noise_is_recovered() -> None:
    """But for the pull of the priors, which stands against the least noise that is believed."""
    tuned = tune(RATES, trials())
    assert numbers(tuned.rates) == pytest.approx(numbers(TRUTH), rel=0.02)
    assert tuned.curvature == pytest.approx(CURVATURE, rel=0.02)
    assert tuned.noise == LEAST_NOISE
    assert not tuned.warnings
    assert tuned.rates.tried == ()
    assert tuned.rates.base_tokens == RATES.base_tokens
    assert [(a.d_model, a.n_tokens) for a in tuned.anchors] == [
        (w, t) for w in (16, 48) for t in (2.5e5, 1e6)
    ]
    assert [a.lr for a in tuned.anchors] == [tuned.rates.at(a.d_model, a.n_tokens) for a in tuned.anchors]


@settings(max_examples=examples(25))
@given(
    coefficient=st.floats(-0.7, 0.7),
    exponent=st.floats(-0.2, 0.5),
    token_exponent=st.floats(-0.1, 0.5),
    shift=st.floats(-3, 3),
)
def test_any_rule_within_what_is_tried_is_recovered(
    coefficient: float, exponent: float, token_exponent: float, shift: float
) -> None:
    """Whatever the losses' level."""
    truth = Rates(0.003 * math.exp(coefficient), exponent, token_exponent, 1e6)
    made = [replace(trial, loss=trial.loss + shift) for trial in trials(truth=truth)]
    tuned = tune(RATES, made)
    for width, tokens in PLACES[:2]:
        assert tuned.rates.at(width, tokens) == pytest.approx(truth.at(width, tokens), rel=0.04)


@pytest.mark.parametrize("tails", [False, True], ids=["normal", "heavy tails"])
def test_the_covariance_covers_the_truth(tails: bool) -> None:
    """At the 95% of a normal, among the tuned places and beyond them."""
    scores = []
    for seed in range(200):
        tuned = tune(RATES, trials(noise=0.008, tails=tails, seed=seed))
        scores.append([
            math.log(tuned.rates.at(*place) / TRUTH.at(*place)) / tuned.log_sd(*place) for place in PLACES
        ])  # fmt: skip
    held = (np.abs(scores) < 1.96).mean(axis=0)
    assert (held > 0.9).all()
    assert (np.std(scores, axis=0) > 0.7).all()  # and are no wider than they need be


def test_a_runaway_try_moves_little() -> None:
    """One seed that lost .3 nats at the best rate of a place."""
    made = trials(noise=0.004)
    wild = [replace(t, loss=t.loss + 0.3) if k == 4 else t for k, t in enumerate(made)]
    before, after = tune(RATES, made), tune(RATES, wild)
    for place in PLACES[:2]:
        assert abs(math.log(after.rates.at(*place) / before.rates.at(*place))) < 2 * before.log_sd(*place)


def test_more_seeds_know_the_rate_better() -> None:
    few, many = (
        np.mean([
            tune(rates, trials(rates, noise=0.01, seed=seed)).log_sd(32, 1e6) for seed in range(10)
        ])
        for rates in (RATES, replace(RATES, seeds=8))
    )  # fmt: skip
    assert many == pytest.approx(few / 2, rel=0.3)


def test_the_priors_stand_where_the_runs_say_nothing() -> None:
    """One width at one horizon: the exponents stay the config's, and as unknown as before."""
    rates = replace(RATES, widths=(64,), horizons=(1e6,))
    tuned = tune(rates, trials(rates, noise=0.003))
    assert tuned.rates.exponent == pytest.approx(rates.exponent, abs=1e-3)
    assert tuned.rates.token_exponent == pytest.approx(rates.token_exponent, abs=1e-3)
    assert tuned.rates.at(64, 1e6) == pytest.approx(TRUTH.at(64, 1e6), rel=0.1)
    sds = np.sqrt(np.diag(tuned.covariance))
    assert sds[1:] == pytest.approx([EXPONENT_SD] * 2, rel=1e-3)
    assert sds[0] < 0.2
    assert tuned.log_sd(64, 8e6) == pytest.approx(EXPONENT_SD * math.log(8), rel=0.1)


def test_noise_without_a_curve_leaves_the_middle_of_what_was_tried() -> None:
    found = [tune(RATES, trials(noise=0.05, curvature=0.0, seed=seed)) for seed in range(10)]
    middle = RATES.at(32, 5e5) * math.sqrt(RATES.tried[0] * RATES.tried[-1])
    assert all(abs(math.log(tuned.rates.at(32, 5e5) / middle)) < 1.1 for tuned in found)
    assert np.median([tuned.log_sd(32, 5e5) for tuned in found]) > 0.25


def test_what_a_rate_that_is_off_costs_is_expected() -> None:
    """The mean loss over many tunings, by the true curve, is about the one told."""
    lost, told = [], []
    for seed in range(60):
        tuned = tune(RATES, trials(noise=0.01, seed=seed))
        lost.append(CURVATURE * math.log(tuned.rates.at(96, 8e6) / TRUTH.at(96, 8e6)) ** 2)
        told.append(tuned.expected_loss(96, 8e6))
    assert np.mean(told) == pytest.approx(np.mean(lost), rel=0.4)


def test_a_rule_that_was_not_tuned_is_taken_as_known() -> None:
    untuned = TunedRates(Rates(0.01))
    assert untuned.log_sd(8, 1e9) == untuned.expected_loss(8, 1e9) == 0.0


@pytest.mark.parametrize(("coefficient", "word"), [(0.0003, "lowest"), (0.03, "highest")])
def test_a_best_rate_at_the_edge_is_flagged_and_stands(coefficient: float, word: str) -> None:
    tuned = tune(RATES, trials(truth=replace(TRUTH, coefficient=coefficient), noise=0.001))
    assert all(anchor.at_edge for anchor in tuned.anchors)
    assert len(tuned.warnings) == 4
    assert f"16 and 2.5e+05 tokens is at or beyond the {word} tried" in tuned.warnings[0]
    assert "widen rates.tried" in tuned.warnings[0]


def test_rates_that_diverged_are_left_out() -> None:
    made = trials(noise=0.001)
    highest = max(trial.lr for trial in made if trial.width == 48)
    wild = [replace(t, loss=math.nan) if t.lr == highest else t for t in made]
    assert numbers(tune(RATES, wild).rates) == pytest.approx(numbers(TRUTH), rel=0.2)
    lost = [replace(t, loss=math.nan) if t.width == 48 else t for t in made]
    with pytest.raises(UserError, match=r"tried at width 48 and 2.5e\+05 tokens gave a loss"):
        tune(RATES, lost)


def test_the_same_trials_give_the_same_rule() -> None:
    made = trials(noise=0.01)
    assert tune(RATES, made) == tune(RATES, list(made))
    shuffled = [made[k] for k in np.random.default_rng(0).permutation(len(made))]
    assert tune(RATES, shuffled).rates == tune(RATES, made).rates


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"tried": ()}, "give all, or none"),
        ({"widths": ()}, "give all, or none"),
        ({"horizons": (1e6, 1e6)}, "rates.horizons .*: must not repeat"),
        ({"widths": (12,)}, "rates.widths .*: must be a multiple of 8"),
        ({"seeds": 0}, "rates.seeds 0: must be at least 1"),
        ({"base_tokens": 0.0}, "rates.base_tokens"),
    ],
)
def test_rates_that_make_no_sense_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        replace(RATES, **wrong)


def test_a_rule_says_itself_and_refuses_what_overflows() -> None:
    assert str(Rates(0.003, -0.1, 0.15)) == "0.003 * (width/64)^0.1 * (tokens/1e+06)^-0.15"
    assert str(Rates(0.003)) == "0.003 * (width/64)^0 * (tokens/1e+06)^0"
    with pytest.raises(UserError, match=r"make the learning rate inf at width 8 and 1e\+06 tokens"):
        Rates(0.1, exponent=1e9).at(8, 1e6)
