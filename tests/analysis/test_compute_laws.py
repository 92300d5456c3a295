"""Laws of loss by size, data, steps and compute: recovered from runs, and their published figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from isoflop.analysis import find_law, fit
from isoflop.analysis.compute import SixN, allocate
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.laws.hestness import HALVING
from isoflop.analysis.laws.kaplan_compute import COMPUTE_EFFICIENT, PF_DAY
from isoflop.analysis.laws.pearce import best_budget, fitted_exponent, local_exponent
from isoflop.analysis.published import find_published, published_fit
from tests.support.law_runs import crossed, runs_of

ONE = np.array([1e9])
DESIGNS = {
    "kaplan_size": crossed(n_params=np.geomspace(1e6, 1e9, 30), n_tokens=100 * ONE),
    "kaplan_data": crossed(n_params=ONE, n_tokens=np.geomspace(2e7, 2e10, 30)),
    "kaplan_steps": crossed(
        n_params=np.geomspace(1e6, 1e9, 6), n_tokens=10 * ONE, steps=np.geomspace(1e3, 3e5, 10)
    ),
    "hestness": crossed(n_params=ONE, n_tokens=np.geomspace(2e7, 2e11, 30)),
    "pearce": crossed(n_params=np.geomspace(1e4, 3e9, 12), n_tokens=np.geomspace(1e8, 3e11, 8)),
    "farseer": crossed(n_params=np.geomspace(1e7, 1e10, 12), n_tokens=np.geomspace(1e9, 1e12, 10)),
}
"""Runs as each law's `needs` describes them."""
HESTNESS = np.array([1.8, 16.0, 0.2])


def truth_of(name: str) -> np.ndarray:
    return HESTNESS if name == "hestness" else np.array(find_law(name).published[0].params)


def constants(name: str) -> np.ndarray:
    """Published parameters, by `LAW:SET`."""
    return np.array(find_published(name)[1].params)


def loss_of(name: str, *inputs: float) -> float:
    """What a published law predicts."""
    return float(evaluate(find_published(name)[0], constants(name), *inputs))


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_a_law_is_recovered_and_identified_by_what_it_needs(name: str) -> None:
    law, truth, design = find_law(name), truth_of(name), DESIGNS[name]
    exact = fit(runs_of(name, truth, design, 0.0), law=name, bootstrap=0, starts=32)
    np.testing.assert_allclose(exact.params_P, truth, rtol=1e-4)
    sd = 0.003
    noisy = fit(runs_of(name, truth, design, sd), law=name, bootstrap=0, starts=32, loss="mse")
    assert noisy.certificate is not None
    assert noisy.certificate.status == "certified"
    assert all(noisy.identified[parameter] for parameter in law.parameters)
    inputs = [design["n_params"], design["n_tokens"], *(design[c.column] for c in law.covariates)]
    error = np.log(evaluate(law, noisy.params_P, *inputs) / evaluate(law, truth, *inputs))
    assert np.sqrt(np.mean(error**2)) < 2 * sd * np.sqrt(len(truth) / len(design))


@pytest.mark.parametrize(
    ("name", "column"), [("kaplan_size", "n_params"), ("kaplan_data", "n_tokens"), ("hestness", "n_tokens")]
)
def test_one_value_of_its_variable_identifies_nothing(name: str, column: str) -> None:
    frame = runs_of(name, truth_of(name), DESIGNS[name].assign(**{column: 1e9}), 0.003)
    found = fit(frame, law=name, bootstrap=0, starts=16, loss="mse")
    assert not any(found.identified[parameter] for parameter in find_law(name).parameters)


class TestKaplan:
    """Kaplan et al. (2020), tables 3, 5 and 6; appendix B."""

    @pytest.mark.parametrize(
        ("name", "inputs", "loss"),
        [
            ("kaplan_size:kaplan", (1e8, 1e10), 2.830),
            ("kaplan_size:kaplan", (1e9, 1e10), 2.376),
            ("kaplan_data:kaplan", (1e9, 1e10), 2.262),
            ("kaplan_compute:kaplan", (1e9, 1e10, 1e21), 2.352),
            ("kaplan_compute:kaplan-naive", (1e9, 1e10, 1e21), 2.239),
            ("kaplan:kaplan", (1.5e9, 2.2e10), 2.3125),
        ],
    )
    def test_loss(self, name: str, inputs: tuple[float, ...], loss: float) -> None:
        """Computed from the printed constants by an independent script."""
        assert loss_of(name, *inputs) == pytest.approx(loss, abs=6e-4)

    def test_size_batch_and_steps_make_the_compute(self) -> None:
        """Table 6: 6 N B S at a PF-day is a PF-day to 3%, and the exponents sum to one."""
        (N, n), (B, b), (S, s), (_, d) = (COMPUTE_EFFICIENT[name] for name in "NBSD")
        compute = 6 * N * B * S
        assert compute == pytest.approx(PF_DAY, rel=0.03)
        assert n + b + s == pytest.approx(1.0)
        assert d == pytest.approx(b + s)

    def test_learning_curves_and_the_critical_batch_give_the_frontier(self) -> None:
        """Appendix B: with S = C / (6 N B(L)) the best model stands a tenth above its converged loss (B.5),
        and its loss is a power of C with exponent 1/(1/alpha_S + 1/alpha_B + 1/alpha_N), .052 (B.7).
        """
        Nc, alpha_N, Sc, alpha_S = constants("kaplan_steps:kaplan")
        star, alpha_B = constants("critical_batch:kaplan")

        def log_compute(log_N: float, loss: float) -> float:
            """FLOPs for a model to reach a loss (B.15)."""
            left = loss - (Nc / np.exp(log_N)) ** alpha_N
            if left <= 0:
                return np.inf
            return float(
                np.log(6 * np.exp(log_N) * Sc * star / loss ** (1 / alpha_B)) - np.log(left) / alpha_S
            )

        least = {}
        for loss in (2.4, 3.0):
            bottom = float(np.log(Nc) - np.log(loss) / alpha_N)  # the size that converges to it
            options: dict[str, Any] = {"method": "bounded", "bounds": (bottom, bottom + 12)}
            found: Any = minimize_scalar(log_compute, (bottom + 0.5, bottom + 5), args=(loss,), **options)
            converged = (Nc / np.exp(found.x)) ** alpha_N
            assert loss / converged == pytest.approx(1 + alpha_N / alpha_S, rel=1e-4)
            assert loss_of("kaplan_steps:kaplan", np.exp(found.x), 1e10, 1e12) == pytest.approx(converged)
            least[loss] = found.fun
        exponent = np.log(3.0 / 2.4) / (least[2.4] - least[3.0])
        assert exponent == pytest.approx(0.052, abs=5e-4)


class TestHestness:
    def test_halving_an_error_at_their_exponents(self) -> None:
        """Hestness et al. (2017): at .07 without a floor, 2.0e4 times the data."""
        params = np.array([0.0, 16.0, HALVING])
        few, many = evaluate(find_law("hestness"), params, 1e9, np.array([1e9, 1e9 * 2 ** (1 / HALVING)]))
        assert many / few == pytest.approx(0.5)
        factor = 2 ** (1 / HALVING)
        assert factor == pytest.approx(2.0e4, rel=0.01)


class TestFarseer:
    def test_printed_constants(self) -> None:
        """Bits per character, computed by an independent script."""
        assert loss_of("farseer:farseer", 1e9, 2e10) == pytest.approx(0.527, abs=5e-4)

    @pytest.mark.parametrize(("C", "has_best"), [(1e20, True), (1e21, True), (1e23, False)])
    def test_they_lose_the_best_size_beyond_1e23(self, C: float, has_best: bool) -> None:
        N = np.geomspace(C**0.5 / 100, C**0.5, 400)
        steps = np.diff([loss_of("farseer:farseer", n, C / (6 * n)) for n in N])
        assert bool(np.any(steps > 0)) is has_best


class TestPearce:
    """Pearce and Song (2024): Kaplan's .73 out of Chinchilla's law."""

    @pytest.mark.parametrize(("name", "exponent"), [("besiroglu", 0.78), ("hoffmann", 0.74)])
    def test_exponent_over_the_range_of_kaplan(self, name: str, exponent: float) -> None:
        assert round(fitted_exponent(constants(f"pearce:{name}")), 2) == exponent

    @pytest.mark.parametrize("name", ["besiroglu", "hoffmann"])
    def test_closed_forms(self, name: str) -> None:
        params = constants(f"pearce:{name}")
        law, (_, _, alpha, _, beta, _) = find_law("pearce"), params
        N = np.array([1e3, 1e5, 1e7, 1e9])
        found = allocate(lambda n, d: evaluate(law, params, n, d), best_budget(params, N), SixN())
        np.testing.assert_allclose(found, N, rtol=1e-4)
        up, down = best_budget(params, N * 1.001), best_budget(params, N / 1.001)
        numeric = 2 * np.log(1.001) / np.log(up / down)
        np.testing.assert_allclose(local_exponent(params, N), numeric, rtol=1e-5)
        ends = local_exponent(params, np.array([1e-3, 1e20]))
        np.testing.assert_allclose(ends, [beta / (alpha / 3 + beta), beta / (alpha + beta)], rtol=1e-3)
        assert local_exponent(params, np.array(1e6)) > 0.95

    def test_without_embeddings_it_is_chinchilla(self) -> None:
        params = constants("pearce:besiroglu")
        params[5] = 1e-300
        plain = loss_of("chinchilla:besiroglu", 1e9, 2e10)
        assert float(evaluate(find_law("pearce"), params, 1e9, 2e10)) == pytest.approx(plain, rel=1e-12)

    def test_a_fit_of_runs_counted_without_embeddings_shows_it(self) -> None:
        """Runs of Chinchilla's law, over Kaplan's sizes and counted as he did: N ~ C^.78 and not C^.51."""
        law = find_law("pearce")
        C, ratio = (x.ravel() for x in np.meshgrid(np.geomspace(1e13, 5e20, 8), np.geomspace(0.2, 5, 7)))
        params = constants("pearce:besiroglu")
        sizes = np.geomspace(1e2, 1e11, 4000)
        N = ratio * np.interp(np.log(C), np.log(best_budget(params, sizes)), sizes)
        loss = evaluate(law, params, N, C / (6 * N))
        frame = pd.DataFrame({"n_params": N, "n_tokens": C / (6 * N), "budget": C, "loss": loss})
        found = fit(frame, approach=2, bootstrap=0)
        assert found.exponents["a"] == pytest.approx(fitted_exponent(params), abs=0.02)

    def test_predicts_without_a_table(self) -> None:
        found = published_fit("pearce:besiroglu").optimum(
            np.array([1e18]), constants("pearce:besiroglu")[None]
        )
        assert best_budget(constants("pearce:besiroglu"), found[0]) == pytest.approx(1e18, rel=1e-3)
