"""Every law keeps the contract; Chinchilla's closed forms are the published ones."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.analysis import UserError, find_law, known_laws
from isoflop.analysis.compute import SixN, allocate
from isoflop.analysis.laws.evaluate import evaluate, float64_on_cpu, numpy_alone
from isoflop.analysis.laws.law import FAMILIES
from isoflop.analysis.published import find_published, published_names
from isoflop.analysis.solver.solver import bounds_of
from tests.support.examples import examples
from tests.support.law_points import D0, N0, inputs, inside


@pytest.mark.parametrize("name", known_laws())
class TestContract:
    def test_says_what_it_is(self, name: str) -> None:
        law = find_law(name)
        assert law.name == name
        assert len(law.start_box) == len(law.parameters) == len(inside(law))
        assert all((law.source, law.equation, law.summary, law.conventions, law.needs, law.blind_to))
        assert law.family in FAMILIES

    def test_needs_no_jax_where_a_formula_answers(self, name: str) -> None:
        assert numpy_alone(find_law(name))

    def test_encoding_goes_there_and_back(self, name: str) -> None:
        law = find_law(name)
        params = inside(law)
        with float64_on_cpu():
            back = np.asarray(law.decode(law.encode(params, N0, D0), N0, D0))
        np.testing.assert_allclose(back, params, rtol=1e-12)

    def test_takes_many_vectors_as_columns(self, name: str) -> None:
        law = find_law(name)
        params_PxS = np.array([inside(law, seed) for seed in range(3)]).T
        theta_PxS = np.array([law.encode(params, N0, D0) for params in params_PxS.T]).T
        np.testing.assert_allclose(law.encode(params_PxS, N0, D0), theta_PxS, rtol=1e-13)
        np.testing.assert_allclose(law.decode(theta_PxS, N0, D0), params_PxS, rtol=1e-12)
        at = inputs(law, np.array([1e8, 1e9]), np.array([1e10, 5e10]))
        each = [np.broadcast_to(law.predict(params, *at), (2,)) for params in params_PxS.T]
        np.testing.assert_allclose(evaluate(law, params_PxS.T, *at), np.array(each), rtol=1e-13)
        if law.from_box:
            low, high = np.array(law.start_box).T[..., None]
            x_PxS = low + (high - low) * np.random.default_rng(1).random((len(low), 3))
            each = np.array([law.from_box(x) for x in x_PxS.T]).T
            np.testing.assert_allclose(law.from_box(x_PxS), each, rtol=1e-13)

    def test_is_traceable_and_its_gradient_is_the_finite_difference(self, name: str) -> None:
        law = find_law(name)
        params = inside(law)
        N, D = np.array([1e8, 1e9]), np.array([1e10, 5e10])
        with float64_on_cpu():
            theta = np.asarray(law.encode(params, N0, D0))

            def total(x):
                return jnp.sum(jnp.log(law.predict(law.decode(x, N0, D0), *inputs(law, N, D))))

            gradient = np.asarray(jax.jit(jax.grad(total))(theta))
            step = 1e-5
            for p in range(len(theta)):
                up, down = theta.copy(), theta.copy()
                up[p] += step
                down[p] -= step
                slope = (float(total(up)) - float(total(down))) / (2 * step)
                assert gradient[p] == pytest.approx(slope, rel=1e-6, abs=1e-8)

    def test_is_linear_in_the_parameters_it_calls_linear(self, name: str) -> None:
        law = find_law(name)
        params = inside(law)
        for index in law.linear:
            values = []
            for factor in (0.0, 1.0, 2.0):
                changed = params.copy()
                changed[index] *= factor
                values.append(float(evaluate(law, changed, *inputs(law, np.array(1e8), np.array(1e10)))))
            assert values[2] - values[1] == pytest.approx(values[1] - values[0], rel=1e-9)

    def test_theta_stays_within_its_bounds_in_the_box(self, name: str) -> None:
        law = find_law(name)
        with float64_on_cpu():
            theta = np.asarray(law.encode(inside(law), N0, D0))
        lower, upper = bounds_of(law)
        assert len(lower) == len(theta)
        assert np.all((lower <= theta) & (theta <= upper))

    def test_defaults_of_covariates_are_finite(self, name: str) -> None:
        law = find_law(name)
        N, D = np.array([1e8, 1e9]), np.array([1e10, 5e10])
        assert np.all(np.isfinite(evaluate(law, inside(law), N, D, *law.fill(N, D, 6 * N * D))))


@pytest.mark.parametrize("name", [name for name in known_laws() if find_law(name).allocate])
class TestClosedForms:
    def test_are_what_a_search_finds(self, name: str) -> None:
        law = find_law(name)
        assert law.allocate is not None
        params = np.array([1.8172, 482.01, 0.3478, 2085.43, 0.3658]) if name == "chinchilla" else inside(law)
        C = np.array([1e20, 1e22])
        found = allocate(lambda N, D: evaluate(law, params, N, D), C, SixN())
        kink = (
            1e-2 if name in ("maximum", "quantization") else 1e-4
        )  # a search sees a kink to its grid's width
        np.testing.assert_allclose(found, np.asarray(law.allocate(params, C)), rtol=kink)
        assert law.exponents is not None
        a, b = law.exponents(params)
        assert np.log(found[1] / found[0]) / np.log(C[1] / C[0]) == pytest.approx(float(a), abs=kink)
        assert float(a) + float(b) == pytest.approx(1.0)


@pytest.mark.parametrize("name", [name for name in known_laws() if find_law(name).mirror])
class TestMirror:
    def test_has_the_same_loss_along_its_line(self, name: str) -> None:
        law = find_law(name)
        assert law.mirror is not None
        params, c, k = inside(law), 1.3, 0.8
        if not np.all(np.isfinite(np.asarray(law.mirror(params, c, k)))):
            k = 1.0
        N = np.geomspace(1e7, 1e10, 7)
        D = np.exp(c + k * np.log(N))
        other = np.asarray(law.mirror(params, c, k))
        np.testing.assert_allclose(evaluate(law, other, N, D), evaluate(law, params, N, D), rtol=1e-10)
        assert not np.allclose(other, params)


def test_unknown_law_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        UserError, match=r"unknown law 'chinchila' .perhaps chinchilla.: known are .*chinchilla"
    ):
        find_law("chinchila")


def test_a_law_from_a_file(tmp_path: Path) -> None:
    mine = tmp_path / "my_law.py"
    mine.write_text("from isoflop.analysis.laws.chinchilla import LAW\n")
    assert find_law(str(mine)).name == "chinchilla"
    with pytest.raises(UserError, match="check the path"):
        find_law(str(tmp_path / "none.py"))
    (tmp_path / "bare.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="defines no 'LAW'"):
        find_law(str(tmp_path / "bare.py"))
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(UserError, match="failed on import: ModuleNotFoundError"):
        find_law(str(tmp_path / "broken.py"))


@pytest.mark.parametrize(
    ("C", "N", "D"),
    [(2.21e19, 400e6, 9.2e9), (1.62e20, 1e9, 27.1e9), (1.71e24, 67e9, 4.1e12)],
)
def test_hoffmann_table_a3(C: float, N: float, D: float) -> None:
    """Hoffmann et al. (2022), table A3 (approach 3): parameters and tokens at three of its budgets.

    From the unrounded coefficients that Besiroglu et al. (2024) print (E, A, B of appendix D.3 as
    e^0.5267228, e^6.0073404, e^6.0179186; alpha .33917084, beta .2849083); the table's own figures have two
    digits.
    """
    params = np.array([np.exp(0.5267228), np.exp(6.0073404), 0.33917084, np.exp(6.0179186), 0.2849083])
    law = find_law("chinchilla")
    assert law.allocate is not None
    n = float(law.allocate(params, np.array(C)))
    assert n == pytest.approx(N, rel=0.12)
    assert C / (6 * n) == pytest.approx(D, rel=0.12)


def test_besiroglu_exponent_and_allocation() -> None:
    """Besiroglu et al. (2024): exponent a .5126, and 72.3B parameters, 1.33T tokens at Chinchilla's
    5.76e23 FLOPs.
    """
    params = np.array([1.8172, 482.01, 0.3478, 2085.43, 0.3658])
    law = find_law("chinchilla")
    assert law.exponents is not None
    assert law.allocate is not None
    assert float(law.exponents(params)[0]) == pytest.approx(0.5126, abs=5e-5)
    n = float(law.allocate(params, np.array(5.76e23)))
    assert n == pytest.approx(72.3e9, rel=5e-3)
    assert 5.76e23 / (6 * n) == pytest.approx(1.33e12, rel=5e-3)


SURFACES = [
    name
    for name in published_names()
    if find_published(name)[0].target == "loss" and find_published(name)[0].sized
]


@settings(max_examples=examples(40))
@given(
    name=st.sampled_from(SURFACES),
    log_N=st.floats(6, 12),
    log_D=st.floats(8, 14),
    factor=st.floats(1.001, 100),
)
def test_a_published_loss_falls_with_size_and_with_tokens(
    name: str, log_N: float, log_D: float, factor: float
) -> None:
    law, published = find_published(name)
    N, D = 10.0**log_N * np.array([1.0, factor, 1.0]), 10.0**log_D * np.array([1.0, 1.0, factor])
    here, larger, longer = evaluate(law, np.array(published.params), N, D, *law.fill(N, D, 6 * N * D))
    assert 0 < larger <= here * (1 + 1e-12)
    assert 0 < longer <= here * (1 + 1e-12)
