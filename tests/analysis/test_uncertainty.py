"""Profiles, resampling designs, weights from seeds, coverage, what to run next, and tables of many runs."""

from __future__ import annotations

import dataclasses
import json
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import (
    FitOptions,
    LawFit,
    RunTable,
    UserError,
    check_coverage,
    find_law,
    fit,
    load_runs,
    table_of,
)
from isoflop.analysis.approaches import approach3
from isoflop.analysis.comparison import coverage
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.solver.search import fit_problem, search
from isoflop.analysis.uncertainty.identifiability import identify
from isoflop.analysis.uncertainty.profiles import Quantity, profiles
from isoflop.analysis.uncertainty.replicates import cells_of
from isoflop.analysis.uncertainty.resampling import resample, trunks_of
from isoflop.analysis.uncertainty.seed_weights import noise_scale
from tests.support.surfaces import BESIROGLU, spread_runs

LEAST = FitOptions(loss="mse", bootstrap=0, starts=16)


def at(N: np.ndarray, D: np.ndarray, sd: float, seed: int = 0) -> pd.DataFrame:
    """Runs of Besiroglu et al.'s law at N and D with log-normal noise `sd`."""
    noise = sd * np.random.default_rng(seed).standard_normal(len(N))
    loss = evaluate(find_law("chinchilla"), BESIROGLU, N, D) * np.exp(noise)
    return pd.DataFrame({"n_params": N, "n_tokens": D, "loss": loss})


class TestProfiles:
    def test_of_a_linear_problem_is_its_t_interval(self) -> None:
        """Least squares with exponents that hardly bend: the profile's interval is the linear model's."""
        table = table_of(spread_runs(80, 1e-4))
        problem = fit_problem(table, find_law("chinchilla"), LEAST)
        solutions = search(problem, table.loss_R, 16)
        found = profiles(problem, table.loss_R, solutions, (Quantity("alpha", lambda p: p[:, 2]),))["alpha"]
        from isoflop.analysis.solver.linearize import jacobian, residuals

        best = solutions.best
        J = jacobian(problem, solutions.theta_SxP[best])
        r = residuals(problem, solutions.params_SxP[best], table.loss_R)
        sd = np.sqrt(np.linalg.inv(J.T @ J)[2, 2] * (r @ r) / 75)
        low, high = found.interval
        assert low is not None
        assert high is not None
        assert high - found.estimate == pytest.approx(1.992 * sd, rel=0.02)  # t(75) at 97.5%
        assert found.estimate - low == pytest.approx(1.992 * sd, rel=0.02)

    def test_a_flat_side_is_open(self) -> None:
        """On D = 20 N alpha can grow without end: the other term then does the work of both."""
        N = np.geomspace(2e7, 4e9, 24)
        table = table_of(at(N, 20 * N, 0.003))
        problem = fit_problem(table, find_law("chinchilla"), LEAST)
        solutions = search(problem, table.loss_R, 64)
        found = profiles(problem, table.loss_R, solutions, (Quantity("alpha", lambda p: p[:, 2]),))["alpha"]
        assert None in found.interval

    def test_intervals_of_every_quantity(self, wide: RunTable) -> None:
        found = fit(wide, FitOptions(bootstrap=40, starts=16, intervals="profile"))
        assert found.intervals is not None
        assert found.profiles is not None
        assert found.intervals.method == "profile"
        for name, value in {**found.params, **found.exponents}.items():
            spans = {**found.intervals.params, **found.intervals.exponents}
            low, high = spans[name]
            assert low is not None
            assert high is not None
            assert value is not None
            assert low < value < high
        assert {"n_opt", "loss_opt"} <= set(found.profiles.quantities)
        for profile in found.profiles.quantities.values():
            values, rises = np.array(profile.values), np.array(profile.rises)
            assert np.all(np.diff(values) >= 0)
            assert rises.min() >= -1e-9 * found.objective.value if found.objective else True
        assert LawFit.from_json(json.loads(json.dumps(found.to_json()))).to_json() == found.to_json()

    def test_need_no_bootstrap(self, wide: RunTable) -> None:
        found = fit(wide, FitOptions(bootstrap=0, starts=16, loss="mse", intervals="profile"))
        assert found.intervals is not None
        assert found.intervals.params["alpha"][0] is not None
        assert found.intervals.draws == ()


class TestResampling:
    def test_each_design(self, table: RunTable) -> None:
        rng = np.random.default_rng(0)
        member_R = trunks_of(table)
        assert member_R is not None
        whole = resample(table, table.loss_R, 5, 50, rng, "trunks").weight_BxR
        for trunk in range(member_R.max() + 1):
            assert np.all(np.ptp(whole[:, member_R == trunk], axis=1) == 0)
        budgets = resample(table, table.loss_R, 5, 50, rng, "budgets").weight_BxR
        budget_R = table.budget_R
        assert budget_R is not None
        for budget in np.unique(budget_R):
            assert np.all(np.ptp(budgets[:, budget_R == budget], axis=1) == 0)
        runs = resample(table, table.loss_R, 5, 50, rng, "runs").weight_BxR
        assert np.all(runs.sum(axis=1) == len(table))
        smooth_R = table.loss_R * 1.01
        redrawn = resample(table, smooth_R, 5, 50, rng, "residuals").loss_BxR
        assert redrawn.shape == (50, len(table))

    def test_what_the_table_has_not_is_refused(self, wide: RunTable) -> None:
        with pytest.raises(UserError, match="no shared trunks"):
            fit(wide, FitOptions(resample="trunks", bootstrap=20, starts=4))
        with pytest.raises(UserError, match="no two IsoFLOP budgets"):
            fit(wide, FitOptions(resample="budgets", bootstrap=20, starts=4))


class TestSeedWeights:
    def replicated(self, gamma: float, pairs: int = 40) -> RunTable:
        """Cells of four seeds each whose noise falls like C^-gamma."""
        rng = np.random.default_rng(1)
        cells = spread_runs(pairs, 0.0, seed=2)
        frame = pd.concat([cells] * 4, ignore_index=True)
        C = 6 * frame["n_params"] * frame["n_tokens"]
        sd = 0.01 * (C / np.exp(np.log(C).mean())) ** -gamma
        return table_of(frame.assign(loss=frame["loss"] * np.exp(sd * rng.standard_normal(len(frame)))))

    @pytest.mark.parametrize("gamma", [0.0, 0.3])
    def test_the_noise_is_recovered(self, gamma: float) -> None:
        table = self.replicated(gamma)
        log_C = np.log(table.C_R)
        slope = np.polyfit(log_C, np.log(noise_scale(table)), 1)[0]
        assert slope == pytest.approx(gamma, abs=0.06)
        assert len(np.unique(cells_of(table))) == 40

    def test_weights_make_the_fit_better(self) -> None:
        """With noise that falls steeply with compute, weighted least squares are nearer to the truth."""
        errors = {"none": 0.0, "seeds": 0.0}
        for weights in errors:
            found = fit(self.replicated(0.4), dataclasses.replace(LEAST, weights=weights))
            errors[weights] = abs((found.params["alpha"] or 0) - BESIROGLU[2])
        assert errors["seeds"] < errors["none"]

    def test_too_few_replicates_are_refused(self, wide: RunTable) -> None:
        with pytest.raises(UserError, match="weights from seeds need 6 repeats"):
            fit(wide, FitOptions(weights="seeds", bootstrap=0, starts=4))


class TestNextRuns:
    def test_lie_off_the_line_and_cure_it(self) -> None:
        N = np.geomspace(2e7, 4e9, 24)
        line = at(N, 20 * N, 0.003)
        trapped = fit(table_of(line), FitOptions(bootstrap=0, starts=64))
        assert not any(trapped.identified[name] for name in ("A", "alpha", "B", "beta"))
        asked = trapped.next_runs
        assert len(asked) == 2
        for run in asked:
            assert abs(np.log(run["n_tokens"] / run["n_params"] / 20)) > np.log(3)
            assert run["flops"] <= 6 * 20 * 4e9**2 * 1.01
            assert run["separates"] > 0.01
        extra = np.array([(run["n_params"], run["n_tokens"]) for run in asked for _ in range(3)]).T
        N, D = extra
        both = table_of(pd.concat([line, at(N, D, 0.003, seed=1)]))
        cured = fit(both, FitOptions(bootstrap=0, starts=64))
        assert all(cured.identified.values())
        assert cured.next_runs == ()

    def test_an_open_direction_is_seen(self) -> None:
        """One further (N, D) beside a line holds the sum of two terms, not each."""
        N = np.append(np.geomspace(2e7, 4e9, 24), [6.7e6] * 3)
        D = np.append(20 * N[:24], [2.4e11] * 3)
        table = table_of(at(N, D, 0.003))
        problem = fit_problem(table, find_law("chinchilla"), FitOptions())
        verdict = identify(problem, table.loss_R, search(problem, table.loss_R, 64))
        assert not verdict.identified["alpha"]
        assert not verdict.identified["beta"]


class TestCoverage:
    def test_counts_by_name(self) -> None:
        found = check_coverage(table_of(spread_runs(40, 0.01)), FitOptions(starts=16), simulations=20)
        assert set(found.params) == {"E", "A", "alpha", "B", "beta"}
        assert all(0 <= x <= 1 for x in found.params.values())
        assert found.standard_error == pytest.approx(np.sqrt(0.95 * 0.05 / 20))

    @pytest.mark.slow
    @pytest.mark.parametrize("intervals", ["bootstrap", "profile"])
    def test_is_near_its_level_on_a_good_design(
        self, intervals: Literal["bootstrap", "profile"], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """20 simulated tables: 95% intervals hold the truth in at least 75% (binomial, 1 in 300)."""
        monkeypatch.setattr(coverage, "RESAMPLES", 40)
        options = FitOptions(loss="mse", intervals=intervals)
        found = check_coverage(table_of(spread_runs(60, 0.01)), options, simulations=20)
        for share in (*found.params.values(), *found.exponents.values()):
            assert share is not None
            assert share >= 0.75

    def test_an_interval_that_is_too_short_is_caught(self) -> None:
        """Intervals of level .3 hold the truth about as seldom as they say."""
        options = FitOptions(loss="mse", level=0.3)
        found = check_coverage(table_of(spread_runs(60, 0.01)), options, simulations=40)
        assert np.mean(list(found.params.values())) < 0.6

    def test_needs_a_surface(self, wide: RunTable) -> None:
        with pytest.raises(UserError, match="approach 3"):
            check_coverage(wide, FitOptions(approach=1))
        with pytest.raises(UserError, match="at least 20"):
            check_coverage(wide, FitOptions(), simulations=3)


def test_a_large_table_is_searched_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(spread_runs(600, 0.01))
    whole = fit(table, FitOptions(bootstrap=40, starts=32))
    for name, value in (("LARGE", 500), ("SAMPLE", 200), ("MAX_RESAMPLED_RUNS", 600 * 25)):
        monkeypatch.setattr(approach3, name, value)
    sampled = fit(table, FitOptions(bootstrap=40, starts=32))
    assert whole.objective is not None
    assert sampled.objective is not None
    assert sampled.objective.value == pytest.approx(whole.objective.value, rel=1e-9)
    assert sampled.certificate is not None
    assert (sampled.certificate.status, sampled.certificate.starts) == ("certified", 32)
    assert any("searched on 200 of 600 runs" in line for line in sampled.warnings)
    assert any("25 resamples instead of 40" in line for line in sampled.warnings)
    assert sampled.intervals is not None
    assert sampled.intervals.B == 25


def test_only_the_rows_asked_for(tmp_path) -> None:
    path = tmp_path / "runs.csv"
    frame = spread_runs(20, 0.01).assign(dataset=["c4"] * 12 + ["pile"] * 8, seed=[1, 2] * 10)
    frame.to_csv(path, index=False)
    assert len(load_runs(path, where="dataset=c4")) == 12
    assert len(load_runs(path, where="dataset=pile,seed=2")) == 4
    for text, match in (
        ("dataset=rpj", "no row .* has it; dataset is c4, pile"),
        ("data=c4", "no such column"),
        ("dataset", "write column=value"),
    ):
        with pytest.raises(UserError, match=match):
            load_runs(path, where=text)


def test_an_envelope_law_takes_the_envelope_alone() -> None:
    found = fit(table_of(spread_runs(60, 0.01)), FitOptions(law="kaplan_compute", bootstrap=0, starts=16))
    assert found.n_runs < 60
    assert len(found.excluded) == 60 - found.n_runs
    assert all(value is None or np.isnan(value) for value in found.exponents.values())


def test_a_law_whose_column_is_missing_says_which() -> None:
    with pytest.raises(UserError, match=r"muennighoff needs n_tokens_unique .* has no such column"):
        fit(table_of(spread_runs(20, 0.01)), FitOptions(law="muennighoff"))


def test_smoothed_residuals_keep_their_variance_and_lose_their_atom() -> None:
    """Noise drawn from residuals with five exact zeros: same spread, no zeros."""
    table = table_of(spread_runs(60, 0.01))
    rng = np.random.default_rng(0)
    residual_R = np.append(0.01 * rng.standard_normal(55), np.zeros(5))
    predicted_R = table.loss_R * np.exp(-residual_R)
    drawn = resample(table, predicted_R, 0, 4000, rng, "residuals").loss_BxR / predicted_R
    assert np.log(drawn).std() == pytest.approx(residual_R.std(), rel=0.02)
    assert np.mean(np.abs(np.log(drawn)) < 1e-6) < 0.01


def test_a_loss_that_rises_with_size_is_said_to() -> None:
    frame = spread_runs(40, 0.002)
    rising = 3.0 + 0.1 * np.log(frame["n_params"] / 1e8) + 30 / frame["n_tokens"] ** 0.2
    upside_down = frame.assign(loss=rising)
    found = fit(table_of(upside_down), FitOptions(bootstrap=0, starts=32))
    assert any("rises with N" in line for line in found.warnings)
    assert not any("rises with" in line for line in fit(table_of(frame), FitOptions(bootstrap=0)).warnings)


@pytest.mark.parametrize("runs", ["one size", "three runs ten times"])
def test_approach_1_needs_several_sizes_and_budgets(runs: str) -> None:
    if runs == "one size":
        frame = at(np.full(20, 1e9), np.geomspace(1e9, 3e11, 20), 0.01)
    else:
        frame = pd.concat([spread_runs(3, 0.01)] * 10)
    try:
        found = fit(table_of(frame), FitOptions(approach=1, bootstrap=0))
    except UserError:
        return
    assert not any(found.identified.values())
