"""Laws of whole loss curves: what each law promises, recovery, certificates, verdicts, intervals,
forecasts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.analysis import (
    CurveFit,
    CurveOptions,
    UserError,
    find_curve_law,
    fit_curves,
    forecast_schedule,
    known_curve_laws,
    read_curve_fit,
)
from isoflop.analysis.curves.data.curve import LossCurve, without_repeats
from isoflop.analysis.curves.evaluate import losses, stacked
from isoflop.analysis.curves.fit import prepare, problem_of
from isoflop.analysis.curves.laws.drops import condensed_drops
from isoflop.analysis.curves.schedules import SHAPES, parse_schedule
from isoflop.analysis.curves.solving import bounds_of, encoded, linearized
from isoflop.analysis.curves.uncertainty import blocks_of, correlation_time, noise_draws, without_own_block
from isoflop.analysis.laws.evaluate import float64_on_cpu
from isoflop.analysis.laws.law import FAMILIES
from tests.support.loss_curves import PEAK, SCHEDULES, STEPS, TRUE, WARMUP, rates, simulated

QUICK = CurveOptions(bootstrap=0, starts=8)
S0, ETA0 = 1.2, 3e-4


@pytest.fixture(scope="module")
def fitted() -> CurveFit:
    """The multi-power law on curves with correlated noise, one held out."""
    curves = simulated("luo", noise=5e-4, phi=0.8)
    return fit_curves(
        curves, law="luo", starts=8, bootstrap=60, holdout=("wsd",), schedules=("cosine", "wsd:decay=0.3"),
        compete=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", known_curve_laws())
class TestContract:
    def test_says_what_it_is(self, name: str) -> None:
        law = find_curve_law(name)
        assert law.name == name
        assert len(law.start_box) == len(law.parameters) == len(TRUE[name])
        assert all((law.source, law.equation, law.summary, law.conventions, law.needs, law.blind_to))
        assert law.family in FAMILIES

    def test_encoding_goes_there_and_back_within_the_bounds(self, name: str) -> None:
        law = find_curve_law(name)
        assert law.encode
        assert law.decode
        with float64_on_cpu():
            theta = np.asarray(law.encode(np.array(TRUE[name]), S0, ETA0))
            back = np.asarray(law.decode(theta, S0, ETA0))
        np.testing.assert_allclose(back, TRUE[name], rtol=1e-12)
        lower, upper = bounds_of(law)
        assert np.all((lower <= theta) & (theta <= upper))

    def test_its_derivative_is_the_finite_difference(self, name: str) -> None:
        law = find_curve_law(name)
        problem, _ = problem_of(law, simulated(name, rows=8), QUICK)
        theta_P = encoded(law, np.array([TRUE[name]]), problem.centre)[0]
        _, jacobian_RxP = linearized(problem, theta_P)
        for p in range(len(theta_P)):
            ends = [theta_P + sign * 1e-5 * (np.arange(len(theta_P)) == p) for sign in (1, -1)]
            with float64_on_cpu():
                assert law.decode
                up, down = (
                    np.log(losses(law, np.asarray(law.decode(x, *problem.centre)), problem.features))
                    for x in ends
                )
            np.testing.assert_allclose(jacobian_RxP[:, p], (up - down) / 2e-5, rtol=1e-5, atol=1e-9)

    def test_needs_no_jax_where_a_formula_answers(self, name: str) -> None:
        law = find_curve_law(name)
        found = law.predict(np.array(TRUE[name]), *law.features(rates("cosine"), np.array([STEPS - 1])))
        assert isinstance(found, np.ndarray)
        with float64_on_cpu():
            traced = jax.jit(law.predict)(
                np.array(TRUE[name]), *law.features(rates("cosine"), np.array([STEPS - 1]))
            )
        np.testing.assert_allclose(np.asarray(traced), found, rtol=1e-13)

    def test_is_linear_in_the_parameters_it_calls_linear(self, name: str) -> None:
        law, features = (
            find_curve_law(name),
            find_curve_law(name).features(rates("cosine"), np.array([STEPS - 1])),
        )
        for index in law.linear:
            scaled = [
                np.array(TRUE[name]) * np.where(np.arange(len(TRUE[name])) == index, f, 1) for f in (0, 1, 2)
            ]
            none, one, two = (losses(law, x, features)[0] for x in scaled)
            assert two - one == pytest.approx(one - none, rel=1e-9)

    def test_is_recovered_from_its_own_curves(self, name: str) -> None:
        found = fit_curves(simulated(name, noise=1e-6), QUICK, law=name)
        assert found.certificate is not None
        assert found.certificate.status == "certified", found.certificate.why
        np.testing.assert_allclose(found.params_P, TRUE[name], rtol=2e-2)
        assert not found.unidentified
        assert min(each.r_squared for each in found.curves) > 0.99999


class TestMultiPower:
    """Luo et al. (2025): the sum over every step, and what follows from its form."""

    law = find_curve_law("luo")

    def whole_sum(self, rates_T: np.ndarray, step: int) -> float:
        """The formula as it is printed, k from 1 to s."""
        L0, A, alpha, B, C, beta, gamma = TRUE["luo"]
        area = np.cumsum(rates_T)
        k = np.arange(1, step + 1)
        distance = area[step] - area[k - 1]
        share = 1 - (1 + C * rates_T[k] ** -gamma * distance) ** -beta
        return L0 + A * area[step] ** -alpha - B * float(((rates_T[k - 1] - rates_T[k]) * share).sum())

    @pytest.mark.parametrize("schedule", [*SCHEDULES, "cosine:steps=60000", "wsd-sqrt:decay=0.9,final=0.001"])
    def test_condensed_drops_give_the_whole_sum(self, schedule: str) -> None:
        rates_T = rates(schedule)
        steps = np.linspace(WARMUP, len(rates_T) - 1, 7).astype(int)
        condensed = losses(self.law, np.array(TRUE["luo"]), self.law.features(rates_T, steps))
        exact = [self.whole_sum(rates_T, int(step)) for step in steps]
        np.testing.assert_allclose(condensed, exact, atol=1.5e-4)
        assert condensed_drops(rates_T, steps)[0].shape[1] < 64

    def test_condensed_drops_sum_to_the_fall_of_the_rate(self) -> None:
        rates_T = rates("cosine")
        drop_RxK, _, _ = condensed_drops(rates_T, np.array([WARMUP, 3000, STEPS - 1]))
        fall = rates_T[0] - rates_T[[WARMUP, 3000, STEPS - 1]]
        np.testing.assert_allclose(drop_RxK.sum(axis=1), fall, rtol=1e-9)

    @settings(max_examples=30, deadline=None)
    @given(st.floats(0.02, 0.9), st.floats(0.02, 0.9), st.floats(0.05, 0.9))
    def test_a_deeper_drop_is_worth_more_at_one_distance(self, a: float, b: float, distance: float) -> None:
        power, worth = find_curve_law("summed_rate"), []
        for share in sorted((a, b)):
            # One step down at half of the run, seen after the same summed rate.
            after = max(1, round(distance / (PEAK * share)))
            rates_T = np.concatenate([np.full(4000, PEAK), np.full(after, PEAK * share)])
            at = np.array([len(rates_T) - 1])
            whole = losses(self.law, np.array(TRUE["luo"]), self.law.features(rates_T, at))[0]
            rest = losses(power, np.array(TRUE["luo"][:3]), power.features(rates_T, at))[0]
            worth.append(rest - whole)
        # A step is a whole number: its summed rate is off by half a step's at most.
        assert worth[0] >= worth[1] * (1 - 1e-2)

    @settings(max_examples=25, deadline=None)
    @given(st.sampled_from(sorted(SHAPES)), st.floats(0.05, 0.95), st.integers(2000, 9000))
    def test_the_loss_is_finite_and_never_below_a_constant_rates_floor(
        self, name: str, final: float, steps: int
    ) -> None:
        spec = parse_schedule(f"{name}:final={final}", steps, PEAK, WARMUP, 0.1)
        rates_T = spec.rates()
        assert rates_T.max() == pytest.approx(PEAK)
        assert rates_T[-1] == pytest.approx(PEAK if name == "constant" else PEAK * final)
        assert np.all(np.diff(rates_T[WARMUP:]) <= 1e-18)
        loss = losses(self.law, np.array(TRUE["luo"]), self.law.features(rates_T, np.array([steps - 1])))[0]
        # A drop is worth B times its size at most; the warm-up's rise is one of the other sign.
        L0, A, alpha, B, *_ = TRUE["luo"]
        power = L0 + A * rates_T.sum() ** -alpha
        assert power - B * PEAK * (1 - rates_T[-1] / PEAK) <= loss <= power + B * PEAK


class TestTissue:
    def test_s2_is_the_sum_of_the_momentum(self) -> None:
        rates_T = rates("cosine")[:900]
        momentum, total, seen = 0.0, 0.0, []
        for i in range(1, len(rates_T)):
            momentum = 0.999 * momentum + rates_T[i - 1] - rates_T[i]
            total += momentum
            seen.append(total)
        S1_R, S2_R = find_curve_law("tissue").features(rates_T, np.array([1, 500, 899]))
        np.testing.assert_allclose(S2_R, [seen[0], seen[499], seen[898]], rtol=1e-9)
        np.testing.assert_allclose(S1_R, np.cumsum(rates_T)[[1, 500, 899]])

    def test_a_drop_that_is_followed_is_worth_its_size_over_one_less_lambda(self) -> None:
        rates_T = np.where(np.arange(40_000) < 1000, 2e-4, 1e-4)
        _, S2_R = find_curve_law("tissue").features(rates_T, np.array([999, 39_999]))
        # In the end each drop has 1 / (1 - .999) steps' worth of momentum.
        np.testing.assert_allclose(S2_R, [0.0, 1e-4 * 1000], rtol=1e-6, atol=1e-15)


class TestFit:
    def test_keeps_the_truth_and_its_own_word(self, fitted: CurveFit) -> None:
        assert fitted.certificate is not None
        assert fitted.certificate.status == "certified", fitted.certificate.why
        assert fitted.intervals is not None
        assert fitted.intervals.correlation_time > 2  # of an AR(1) process of .8 about 9
        for name, true in zip(find_curve_law("luo").parameters[:4], TRUE["luo"], strict=False):
            low, high = fitted.intervals.params[name]
            assert low is not None
            assert high is not None
            assert low - 0.5 * (high - low) < true < high + 0.5 * (high - low), name

    def test_scores_the_held_out_curve(self, fitted: CurveFit) -> None:
        (held,) = fitted.holdout
        assert held.name == "wsd"
        assert held.unseen_rows == held.rows == 64
        assert held.r_squared > 0.99
        assert abs(held.final_error) < 0.01
        low, high = held.final_interval
        assert low is not None
        assert high is not None
        assert low < high
        assert fitted.holdout_r_squared == held.r_squared

    def test_the_true_law_wins_and_the_blind_one_loses(self, fitted: CurveFit) -> None:
        order = [row.law for row in fitted.competition]
        assert order[-1] == "summed_rate"
        best, *_, last = fitted.competition
        assert best.excess == 0
        assert last.excess > 3 * best.mean_abs_error
        low, _ = last.interval
        assert low is not None
        assert low > 0

    def test_predicts_a_schedule_that_was_not_run(self, fitted: CurveFit) -> None:
        cosine, wsd = fitted.schedules
        law = find_curve_law("luo")
        for found, text in ((cosine, "cosine"), (wsd, "wsd:decay=0.3")):
            true = losses(law, np.array(TRUE["luo"]), law.features(rates(text), np.array([STEPS - 1])))[0]
            # Its last rate is the lowest that was fitted.
            assert found.steps == STEPS
            assert found.peak == pytest.approx(PEAK)
            low, high = found.interval
            assert low is not None
            assert high is not None
            assert low < found.loss < high
            assert abs(found.loss - true) < 0.05

    def test_goes_to_json_and_back(self, fitted: CurveFit, tmp_path: Path) -> None:
        path = tmp_path / "curve-fit.json"
        path.write_text(json.dumps(fitted.to_json()))
        assert read_curve_fit(path) == read_curve_fit(tmp_path) == CurveFit.from_json(fitted.to_json())
        assert forecast_schedule(tmp_path, "cosine").loss == pytest.approx(
            fitted.schedules[0].loss, rel=1e-12
        )
        assert "CurveFit: luo" in repr(fitted)
        assert set(fitted.to_frame().index) >= {"wsd", "cosine"}

    def test_best_is_no_worse_than_what_it_is_chosen_among(self, fitted: CurveFit) -> None:
        best = forecast_schedule(fitted, "best")
        others = [
            forecast_schedule(fitted, text).loss for text in ("constant", "wsd:decay=0.1", "wsd:decay=0.4")
        ]
        assert best.loss <= min(others) + 1e-6
        assert forecast_schedule(fitted, best.schedule).loss == pytest.approx(best.loss, abs=1e-6)

    def test_a_constant_rate_identifies_no_drop(self) -> None:
        # Without a warm-up, which is a drop of the other sign.
        rates_T = np.full(STEPS, PEAK)
        steps = np.arange(200, STEPS, 100)
        law = find_curve_law("luo")
        loss_R = losses(law, np.array(TRUE["luo"]), law.features(rates_T, steps))
        found = fit_curves([LossCurve("constant", rates_T, steps, loss_R)], QUICK)
        assert {"B", "C", "beta", "gamma"} <= set(found.unidentified)
        assert "L0" not in found.unidentified
        assert any("add a curve whose rate falls" in text for text in found.warnings)
        assert not found.trusted

    def test_one_trunks_rows_count_once(self) -> None:
        constant, wsd = simulated("tissue", ("constant", "wsd:decay=0.3"), rows=400)
        until = int(np.argmin(wsd.rates_T[WARMUP:] >= PEAK * (1 - 1e-12))) + WARMUP
        kept, shared = without_repeats([constant, wsd])
        assert shared["wsd"].until < until
        assert shared["wsd"].rows == np.sum(wsd.steps_R < until)
        assert kept[1].steps_R[0] >= until
        once = prepare([constant, wsd], dataclasses.replace(QUICK, points=400))
        twice = prepare([constant, wsd], dataclasses.replace(QUICK, points=400, keep_repeats=True))
        assert (
            sum(len(c.steps_R) for c in twice.fitted) - sum(len(c.steps_R) for c in once.fitted)
            == shared["wsd"].rows
        )
        assert "share" in once.notes[0]

    def test_a_curve_of_rows_that_another_has_is_left_out(self) -> None:
        whole, *_ = simulated("tissue", ("constant",), rows=64)
        part = dataclasses.replace(whole.at(np.arange(30)), name="part")
        kept, shared = without_repeats([whole, part])
        assert [curve.name for curve in kept] == ["constant"]
        assert shared["part"].rows == 30

    @pytest.mark.parametrize("points", [30, 80])
    def test_thinning_keeps_the_means_and_no_bin_crosses_a_jump(self, points: int) -> None:
        rates_T = np.where(np.arange(6000) < 4001, PEAK, PEAK / 10)
        steps = np.arange(50, 6000)
        curve = LossCurve("step", rates_T, steps, 3 + 0.1 * (rates_T[steps] > PEAK / 2) + 0.0 * steps)
        thin = curve.thinned(points)
        assert points < len(thin.steps_R) < 3 * points + 60
        assert set(np.round(thin.loss_R, 12)) == {3.0, 3.1}
        assert thin.steps_R[-1] <= 5999
        assert curve.thinned(10_000) is curve

    def test_two_models_in_one_fit_are_doubted(self) -> None:
        curves = simulated("tissue", ("constant", "cosine"))
        curves[1] = dataclasses.replace(curves[1], loss_R=1.3 * curves[1].loss_R)
        assert any("of one model" in text for text in fit_curves(curves, QUICK, law="tissue").warnings)


class TestUncertainty:
    def test_correlation_time_of_an_ar_process(self) -> None:
        parts = [
            np.log(c.loss_R) for c in simulated("tissue", ("constant",) * 6, noise=1.0, phi=0.8, rows=400)
        ]
        clean = [np.log(c.loss_R) for c in simulated("tissue", ("constant",) * 6, rows=400)]
        # (1 + phi) / (1 - phi) = 9
        assert 6 < correlation_time([a - b for a, b in zip(parts, clean, strict=True)]) < 12
        assert correlation_time([np.random.default_rng(0).standard_normal(4000)]) == pytest.approx(1, abs=0.2)

    def test_noise_keeps_each_block_together(self) -> None:
        """The sign of a block is common to its rows, and no block reaches across two curves."""
        problem, curve_R = problem_of(find_curve_law("tissue"), simulated("tissue", noise=5e-4), QUICK)
        theta_P = encoded(problem.law, np.array([TRUE["tissue"]]), problem.centre)[0]
        blocks = blocks_of(linearized(problem, theta_P)[0], curve_R)
        noise_BxR = noise_draws(problem, theta_P, blocks, 50, 0)
        sign_BxR = np.sign(noise_BxR / noise_BxR[0])
        for block in range(blocks.count):
            members = blocks.member_R == block
            assert len(set(curve_R[members])) == 1
            assert np.all(sign_BxR[:, members] == sign_BxR[:, members][:, :1])
        assert set(sign_BxR[:, 0]) == {-1.0, 1.0}

    def test_residuals_of_a_block_are_by_a_fit_without_it(self) -> None:
        rng, member_R = np.random.default_rng(0), np.repeat(np.arange(6), 5)
        jacobian_RxP, y_R = rng.standard_normal((30, 4)), rng.standard_normal(30)
        basis_RxP = np.linalg.svd(jacobian_RxP, full_matrices=False)[0]
        found_R = without_own_block(y_R - basis_RxP @ (basis_RxP.T @ y_R), basis_RxP, member_R)
        for block in range(6):
            rows = member_R == block
            others = np.linalg.lstsq(jacobian_RxP[~rows], y_R[~rows])[0]
            np.testing.assert_allclose(found_R[rows], y_R[rows] - jacobian_RxP[rows] @ others, rtol=1e-9)


def test_features_of_curves_are_stacked_with_zeros() -> None:
    law = find_curve_law("luo")
    parts = [law.features(rates(text), np.array([STEPS - 1])) for text in ("constant", "cosine")]
    together = losses(law, np.array(TRUE["luo"]), stacked(parts))
    np.testing.assert_allclose(
        together, [losses(law, np.array(TRUE["luo"]), part)[0] for part in parts], rtol=1e-14
    )


def test_a_law_of_ones_own_is_one_file(tmp_path: Path) -> None:
    mine = tmp_path / "my_curve_law.py"
    mine.write_text(
        "import numpy as np\n"
        "from isoflop.analysis import CurveLaw\n"
        "def features(rates, steps):\n"
        "    return np.cumsum(rates)[steps], rates[0] - rates[steps]\n"
        "def predict(params, S1, fall):\n"
        "    L0, A, alpha, B = params\n"
        "    return L0 + A * S1 ** -alpha - B * fall\n"
        "LAW = CurveLaw('mine', ('L0', 'A', 'alpha', 'B'), 'L0 + A S1^-alpha - B fall', 'none', features,\n"
        "    predict, start_box=((0, 2), (-2, 1), (-2, 1), (0, 8)), linear=(0, 1, 3))\n"
    )
    found = fit_curves(simulated("luo"), QUICK, law=str(mine))
    assert found.certificate is not None
    assert found.certificate.status == "certified"
    assert set(found.params) == {"L0", "A", "alpha", "B"}
    assert found.curves[0].r_squared > 0.99


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"law": "lou"}, r"unknown law 'lou' .perhaps luo.: known are"),
        ({"holdout": ("nosuch",)}, r"--holdout nosuch: no curve is called so; there are constant"),
        ({"holdout": ("*",)}, "every curve is held out"),
        ({"from_step": 7990}, r"constant has 1 rows with a loss from step 7990 on"),
        ({"compete": True}, "hold some out"),
        ({"schedules": ("cosin",)}, r"unknown schedule 'cosin' .perhaps cosine.: known are constant, cosine"),
        ({"schedules": ("wsd:decay=2",)}, "decay must lie between 0 and 1"),
        ({"schedules": ("wsd:decay=much",)}, "decay must be a number"),
        ({"schedules": ("wsd:tail=1",)}, "write NAME"),
        ({"schedules": ("nosuch.csv",)}, "no schedule at nosuch.csv"),
        ({"bootstrap": 3}, "bootstrap 3: must be 0, or at least 20"),
        ({"start": 3}, r"fit_curves has no option 'start' \(perhaps starts\)"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(named: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        fit_curves(simulated("luo", ("constant", "cosine")), **{"bootstrap": 0, **named})
