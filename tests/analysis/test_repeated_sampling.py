"""pass@k, its law, the tail that makes it, and how far either extrapolates."""

from __future__ import annotations

from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.analysis import UserError
from isoflop.analysis.test_time.attempts import Attempts, load_attempts
from isoflop.analysis.test_time.back_test import reach
from isoflop.analysis.test_time.curve_law import fit_curves
from isoflop.analysis.test_time.pass_at_k import counts_of_samples, pass_at_k, standard_error
from isoflop.analysis.test_time.repeated_sampling import RepeatedSampling, repeated_sampling
from isoflop.analysis.test_time.success_tail import SuccessTail, fit_success_tail


def sampled(rate_P: np.ndarray, n: int, seed: int = 0) -> Attempts:
    """n samples of problems that are solved at these rates."""
    c_P = np.random.default_rng(seed).binomial(n, rate_P)
    return Attempts(tuple(map(str, range(len(rate_P)))), np.full(len(rate_P), n), c_P)


def beta_rates(count: int, alpha: float = 0.3, beta: float = 1.5, seed: int = 1) -> np.ndarray:
    """Success rates whose density goes as p^(alpha - 1) near 0."""
    return np.random.default_rng(seed).beta(alpha, beta, count)


class TestPassAtK:
    @given(st.integers(1, 60), st.data())
    def test_is_the_share_of_subsets_with_a_right_sample(self, n: int, data: st.DataObject) -> None:
        """Chen et al. (2021), equation 1: 1 - C(n - c, k)/C(n, k)."""
        c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
        exact = 1 - Fraction(comb(n - c, k), comb(n, k))
        assert pass_at_k(np.array([n]), np.array([c]), np.array([k]))[0, 0] == pytest.approx(
            float(exact), rel=1e-12
        )

    @pytest.mark.parametrize(("n", "c", "k"), [(100_000, 1, 1), (100_000, 7, 30_000), (100_000, 20, 100)])
    def test_keeps_its_digits_at_large_n(self, n: int, c: int, k: int) -> None:
        exact = float(1 - Fraction(comb(n - c, k), comb(n, k)))
        assert pass_at_k(np.array([n]), np.array([c]), np.array([k]))[0, 0] == pytest.approx(exact, rel=1e-12)

    @given(st.lists(st.integers(0, 30), min_size=1, max_size=6))
    def test_grows_with_k_and_ends_at_one_where_any_sample_is_right(self, counts: list[int]) -> None:
        curve_PxK = pass_at_k(np.full(len(counts), 30), np.array(counts), np.arange(1, 31))
        assert np.all(np.diff(curve_PxK, axis=1) >= -1e-15)
        np.testing.assert_array_equal(curve_PxK[:, -1], np.array(counts) > 0)

    def test_is_unbiased(self) -> None:
        rates = np.full(20_000, 0.07)
        found = pass_at_k(np.full(20_000, 12), sampled(rates, 12).c_P, np.array([5])).mean()
        assert found == pytest.approx(1 - 0.93**5, abs=0.01)

    def test_beyond_the_samples_it_is_refused(self) -> None:
        with pytest.raises(UserError, match=r"pass@11 of 10 samples: .* isoflop coverage --k"):
            pass_at_k(np.array([10]), np.array([3]), np.array([11]))

    def test_the_standard_error_is_that_of_repeated_experiments(self) -> None:
        rates, k = beta_rates(40), np.array([1, 8, 31, 32])
        tables = [sampled(rates, 32, seed) for seed in range(400)]
        means = [pass_at_k(t.n_P, t.c_P, k).mean(axis=0) for t in tables]
        errors = np.mean([standard_error(t, k) ** 2 for t in tables], axis=0) ** 0.5
        np.testing.assert_allclose(errors[:2], np.std(means, axis=0)[:2], rtol=0.15)
        assert 1.0 < errors[2] / np.std(means, axis=0)[2] < 1.4  # too wide, at k near n
        assert np.isnan(errors[3])

    def test_the_interval_holds_the_mean_of_other_problems(self) -> None:
        truth = 1 - np.mean((1 - beta_rates(200_000, seed=9)) ** 5)
        held = 0
        for seed in range(120):
            # Seven samples are too few for a law: the table of pass@k alone.
            found = repeated_sampling(sampled(beta_rates(60, seed=100 + seed), 7, seed), bootstrap=200)
            low, high = next(p.interval for p in found.passes if p.k == 5)
            assert low is not None
            assert high is not None
            held += low <= truth <= high
        assert 0.88 <= held / 120 <= 0.99


class TestTail:
    @pytest.mark.parametrize(("alpha", "beta", "n"), [(0.3, 1.5, 100), (0.15, 3.0, 10_000), (2.0, 5.0, 50)])
    def test_is_recovered_from_counts(self, alpha: float, beta: float, n: int) -> None:
        tail = fit_success_tail(sampled(beta_rates(4000, alpha, beta), n))
        assert tail.certified
        assert tail.alpha_B[0] == pytest.approx(alpha, rel=0.08)
        assert tail.beta_B[0] == pytest.approx(beta, rel=0.12)

    def test_no_other_distribution_is_likelier(self) -> None:
        attempts = sampled(beta_rates(200), 30)
        best = fit_success_tail(attempts)
        moved = np.array([[a, b] for a in (0.97, 1.0, 1.03) for b in (0.97, 1.0, 1.03)])
        from scipy.stats import betabinom

        values = [
            betabinom.logpmf(attempts.c_P, 30, best.alpha_B[0] * a, best.beta_B[0] * b).sum()
            for a, b in moved
        ]
        assert int(np.argmax(values)) == 4

    def test_a_resample_is_the_fit_of_its_problems(self) -> None:
        attempts = sampled(beta_rates(60), 40)
        rng = np.random.default_rng(3)
        rows = rng.integers(0, 60, 60)
        weight = np.stack([np.ones(60), np.bincount(rows, minlength=60)])
        both = fit_success_tail(attempts, weight)
        alone = fit_success_tail(Attempts(tuple(map(str, range(60))), attempts.n_P[rows], attempts.c_P[rows]))
        assert both.alpha_B[1] == pytest.approx(alone.alpha_B[0], rel=1e-6)

    def test_equally_hard_problems_end_at_a_bound(self) -> None:
        assert not fit_success_tail(sampled(np.full(300, 0.3), 20, seed=4)).certified

    def test_its_coverage_falls_as_its_exponent_says(self) -> None:
        """Schaeffer et al. (2025): minus the log of the coverage goes as k^-alpha."""
        tail = SuccessTail(np.array([0.3]), np.array([1.5]), np.zeros(1), np.zeros(1))
        k = np.array([1e6, 1e7])
        left = -np.log(tail.coverage(k)[0])
        assert np.log(left[0] / left[1]) / np.log(10) == pytest.approx(0.3, abs=3e-3)
        one = tail.coverage(np.array([1.0]))[0, 0]
        assert one == pytest.approx(0.3 / 1.8, rel=1e-12)


class TestBothRoutes:
    def test_agree_where_the_tail_goes_down_to_zero(self) -> None:
        found = repeated_sampling(sampled(beta_rates(300), 1000), bootstrap=200)
        assert found.law is not None
        assert found.tail is not None
        assert found.law.certificate.status == "certified"
        assert found.tail.agrees
        low, high = found.tail.curve_exponent_interval
        assert low is not None
        assert high is not None
        assert low <= found.tail.exponent <= high
        assert found.tail.alpha < found.tail.exponent < found.law.beta  # alpha in the limit of large k
        assert not [text for text in found.warnings if "success rates" in text]

    def test_disagree_where_it_is_cut_off(self) -> None:
        rates = np.maximum(beta_rates(300), 0.03)
        found = repeated_sampling(sampled(rates, 100), (1000,), bootstrap=200)
        assert found.tail is not None
        assert not found.tail.agrees
        low, _ = found.tail.curve_exponent_interval
        assert low is not None
        assert found.tail.exponent < 0.8 * low
        assert found.farthest("law") == found.farthest("tail") == 100
        assert not found.extrapolated[0].tail_tested
        assert any("tail is no power law down to zero" in text for text in found.warnings)

    def test_coverage_beyond_the_samples_lies_in_the_tail_s_interval(self) -> None:
        rates = beta_rates(300)
        found = repeated_sampling(sampled(rates, 64), (2000,), bootstrap=200)
        (far,) = found.extrapolated
        low, high = far.tail_interval
        assert low is not None
        assert high is not None
        assert low <= 1 - np.mean((1 - rates) ** 2000) <= high
        assert far.tail == pytest.approx(1 - np.mean((1 - rates) ** 2000), abs=0.03)

    def test_the_law_is_recovered_from_its_own_curve(self) -> None:
        k = counts_of_samples(10_000)
        curves = np.exp(-np.array([[1.9], [0.7]]) * k ** -np.array([[0.35], [0.8]]))
        found = fit_curves(k, curves)
        np.testing.assert_allclose(found.params_Bx2, [[1.9, 0.35], [0.7, 0.8]], rtol=1e-6)
        assert found.certificate.status == "certified"


class TestTables:
    def test_counts_and_samples_are_the_same_table(self, tmp_path: Path) -> None:
        counts = pd.DataFrame({"problem": ["a", "b"], "n": [4, 4], "c": [1, 3]})
        rows = [{"problem": p, "correct": i < c} for p, c in (("a", 1), ("b", 3)) for i in range(4)]
        pd.DataFrame(rows).to_csv(tmp_path / "samples.csv")
        whole, single = load_attempts(counts), load_attempts(tmp_path / "samples.csv")
        np.testing.assert_array_equal(whole.c_P, single.c_P)
        np.testing.assert_array_equal(whole.n_P, single.n_P)
        renamed = counts.rename(columns={"problem": "task_id", "c": "right"})
        again = load_attempts(renamed, columns="problem=task_id,c=right", where="problem=b")
        assert again.problems == ("b",)

    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            ({"problem": ["a"], "n": [4], "c": [5]}, r"problem a has c = 5 right of n = 4 samples"),
            ({"problem": ["a"], "n": [4], "c": [1.5]}, r"c = 1.5 right of n = 4"),
            ({"problem": ["a"], "n": [4], "c": ["x"]}, r"c = nan right of n = 4"),
            ({"problem": ["a", "a"], "n": [4, 4], "c": [1, 1]}, r"problem a has two rows of counts"),
            ({"problem": ["a", None], "n": [4, 4], "c": [1, 1]}, r"row 1 names no problem"),
            ({"problem": ["a"], "correct": [0.5]}, r"correct is 0.5 in row 0"),
            ({"task": ["a"], "n": [4]}, r"needs problem, n and c .* it has task, n"),
        ],
    )
    def test_bad_ones_are_refused_in_a_line(self, frame: dict, message: str) -> None:
        with pytest.raises(UserError, match=message):
            load_attempts(pd.DataFrame(frame))

    @pytest.mark.parametrize(
        ("n", "c", "reason"),
        [
            ([50], [20], "there is one problem"),
            ([50, 50], [50, 50], "every sample of every problem is right"),
            ([50, 50], [0, 0], "no sample of any problem is right"),
            ([5, 5], [1, 2], "a problem has 5 samples"),
        ],
    )
    def test_what_has_no_law_keeps_its_table(self, n: list[int], c: list[int], reason: str) -> None:
        attempts = Attempts(tuple("ab"[: len(n)]), np.array(n), np.array(c))
        found = repeated_sampling(attempts, (2,), bootstrap=50)
        assert found.law is found.tail is None
        assert found.passes[0].pass_rate == pytest.approx(np.mean(np.array(c) / np.array(n)))
        assert any(reason in text for text in found.warnings)
        with pytest.raises(UserError, match=f"--k 100 is beyond .* nothing can be extrapolated: {reason}"):
            repeated_sampling(attempts, (100,), bootstrap=50)

    def test_goes_to_json_and_back(self) -> None:
        found = repeated_sampling(sampled(beta_rates(40), 32), (100,), bootstrap=50)
        assert RepeatedSampling.from_json(found.to_json()).to_json() == found.to_json()
        assert "pass@32" in repr(found)
        assert reach((), "law") == 1
