"""A task's score from compute in two steps, its threshold, and what samples replace of training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import UserError, fit, load_runs, table_of
from isoflop.analysis.downstream.two_step import TaskForecast, TwoStep
from isoflop.analysis.published import published_fit
from isoflop.analysis.test_time.exchange import Exchange, exchange
from tests.support.surfaces import BESIROGLU, spread_runs

FLP = (0.25, 0.6, 2.6)
"""chance, slope and L* of the task."""


def scored(loss: np.ndarray) -> np.ndarray:
    """The task's accuracy at a loss."""
    return FLP[0] + FLP[1] * np.maximum(FLP[2] - loss, 0.0)


@pytest.fixture(scope="module")
def steps() -> TwoStep:
    """Both steps fitted to simulated runs with noise, with draws."""
    runs = spread_runs(60, 0.003)
    loss = fit(table_of(runs), bootstrap=60, starts=64)
    noise = 0.01 * np.random.default_rng(5).standard_normal(len(runs))
    tasks = pd.DataFrame({"loss": runs["loss"], "accuracy": scored(runs["loss"].to_numpy()) * (1 + noise)})
    return TwoStep(loss, fit(tasks, law="flp", bootstrap=60, starts=64, loss="mse"))


def published(score: str) -> TwoStep:
    """The two steps of published constants."""
    return TwoStep(published_fit("chinchilla:besiroglu"), published_fit(score))


class TestTwoStep:
    def test_the_score_of_a_budget_is_recovered_with_its_interval(self, steps: TwoStep) -> None:
        C = 1e23
        E, A, alpha, B, beta = BESIROGLU
        a = beta / (alpha + beta)
        N = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (C / 6) ** a
        truth = float(scored(np.array(E + A / N**alpha + B / (C / 6 / N) ** beta)))
        found = steps.predict(C)
        assert found.target == "accuracy"
        assert found.value == pytest.approx(truth, abs=0.03)
        assert found.value_interval is not None
        low, high = found.value_interval
        assert low is not None
        assert high is not None
        assert low < found.value < high
        assert low - 0.01 <= truth <= high + 0.01
        assert TaskForecast.from_json(found.to_json()) == found
        assert "accuracy" in repr(found)

    def test_the_threshold_is_where_the_loss_reaches_it(self, steps: TwoStep) -> None:
        flops, interval = steps.emergence()
        assert interval is not None
        low, high = interval
        assert low is not None
        assert high is not None
        assert low <= flops <= high
        assert steps.losses(np.array([flops]))[0, 0] == pytest.approx(steps.score.params["L*"], rel=1e-3)
        assert steps.score.params["L*"] == pytest.approx(FLP[2], abs=0.05)
        before, after = steps.scores(np.array([flops / 4, flops * 4]))[0]
        assert before == pytest.approx(steps.score.params["chance"])
        assert after > before + 0.01

    def test_steps_that_are_none_are_refused(self) -> None:
        loss, score = published_fit("chinchilla:besiroglu"), published_fit("bhagia:hellaswag")
        with pytest.raises(UserError, match="the first step is a law of the loss in N and D: bhagia is none"):
            TwoStep(score, score)
        with pytest.raises(UserError, match="such as bhagia, flp or gadre_error: chinchilla is none"):
            TwoStep(loss, loss)
        with pytest.raises(UserError, match="error has no threshold: fit the second step with --law flp"):
            published("gadre_error:redpajama").emergence()
        with pytest.raises(UserError, match="a loss in nats per token, and the second takes one in bits per"):
            TwoStep(loss, score)

    def test_losses_that_are_not_the_same_are_refused_or_warned_of(self, steps: TwoStep) -> None:
        """The steps' own runs are of two tables; those of one table name the column."""
        assert "not known to be measured on the same text" in steps.predict(1e22).warnings[0]
        low, high = steps.score.conventions.input_loss_range or (0.0, 0.0)
        assert low < steps.predict(1e22).loss < high
        assert any("beyond those of the second step's runs" in w for w in steps.predict(1e30).warnings)
        (unlike,) = published("gadre_error:redpajama").predict(1e22).warnings
        assert "may not be the same: of MassiveText" in unlike
        frame = spread_runs(20, 0.003)
        frame = frame.assign(accuracy=scored(frame["loss"].to_numpy()), val=frame["loss"] - 0.1)
        loss = fit(load_runs(frame, metric="val"), bootstrap=0, starts=8)
        score = fit(frame, law="flp", metric="accuracy", bootstrap=0, starts=8)
        with pytest.raises(UserError, match="predicts the table's 'val', and the second takes its 'loss'"):
            TwoStep(loss, score)


class TestExchange:
    def test_both_sides_are_of_one_quality(self, steps: TwoStep) -> None:
        found = exchange(steps, 1e22, 2, beta=0.3, tokens_per_sample=1000.0)
        assert found.pass_rate == pytest.approx(found.single_pass_rate ** (2**-0.3))
        assert steps.scores(np.array([found.training_flops]))[0, 0] == pytest.approx(
            found.pass_rate, abs=2e-3
        )
        assert found.training_interval is not None
        assert found.jones_multiple == pytest.approx(2 ** (1 / 1.2))
        assert Exchange.from_json(found.to_json()).to_json() == found.to_json()
        assert "times the training" in repr(found)

    def test_at_the_crossover_both_cost_the_same(self, steps: TwoStep) -> None:
        found = exchange(steps, 1e22, 64, beta=0.05, tokens_per_sample=1000.0)
        assert np.isfinite(found.queries)
        small = found.flops + found.queries * found.query_flops
        larger = found.training_flops + found.queries * found.larger_query_flops
        assert small == pytest.approx(larger, rel=1e-9)

    def test_more_samples_are_worth_more_training(self) -> None:
        law = published("gadre_error:redpajama")
        found = [exchange(law, 1e21, k, beta=0.15, tokens_per_sample=500.0) for k in (1, 2, 3)]
        multiples = [each.training_multiple for each in found]
        assert multiples[0] == 1.0
        assert 1.0 < multiples[1] < multiples[2] < 1e8
        assert found[0].queries_interval is None

    def test_what_no_training_reaches_has_no_price(self) -> None:
        law = published("gadre_error:redpajama")
        found = exchange(law, 1e21, 10_000, beta=0.6, tokens_per_sample=500.0)
        assert np.isnan(found.training_flops)
        assert np.isnan(found.queries)
        assert found.to_json()["training_flops"] is None

    @pytest.mark.parametrize(("name", "value"), [("flops", 0.0), ("samples", 0), ("beta", -0.3)])
    def test_numbers_that_are_none_are_refused(self, name: str, value: float) -> None:
        given = {"flops": 1e21, "samples": 4, "beta": 0.3} | {name: value}
        with pytest.raises(UserError, match=f"{name} .*: must be a positive number"):
            exchange(
                published("gadre_error:redpajama"),
                given["flops"],
                int(given["samples"]),
                beta=given["beta"],
                tokens_per_sample=1.0,
            )
