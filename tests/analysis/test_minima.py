"""Where a budget's loss is least: three curves, what they refuse, how sure they are, and what they miss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.analysis import FitOptions, LawFit, RunTable, UserError, find_law, fit, table_of
from isoflop.analysis.approaches.diagnostics import SURFACE, shape, surface_bias
from isoflop.analysis.approaches.holdout import scored_minimum
from isoflop.analysis.compute import SixN
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.isoflops.minima import CURVES, Minima, by_akima, by_argmin, open_interval
from isoflop.analysis.result import optimal_size
from tests.support.examples import examples
from tests.support.simulate import grid
from tests.support.surfaces import BESIROGLU, LOPSIDED, isoflops

SIZES = np.geomspace(1e6, 1e8, 9)
CHINCHILLA = np.array([1.69, 406.4, 0.34, 410.7, 0.28])
"""E, A, alpha, B, beta of Hoffmann et al. (2022), section 3.3, as printed."""
U_SHAPE = 3 + 0.05 * np.log(SIZES / 1.2e7) ** 2


def two(table: RunTable, **changes) -> LawFit:
    return fit(table, FitOptions(**{"approach": 2, "bootstrap": 0, "starts": 16, **changes}))


@pytest.mark.parametrize("name", CURVES)
def test_a_plain_minimum_is_found(name: str) -> None:
    found = CURVES[name](SIZES, U_SHAPE[None])
    within = {"parabola": 1e-9, "akima": 0.02, "argmin": 0.29}[name]
    assert found.bracketed_B.all()
    assert found.x_B[0] == pytest.approx(np.log(1.2e7), abs=within)
    assert found.loss_B[0] == pytest.approx(3, abs=0.005)


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize(("slope", "side"), [(0.1, -1), (-0.1, 1)])
def test_losses_that_only_rise_or_fall_have_no_minimum(name: str, slope: float, side: int) -> None:
    bent = 3 + slope * np.log(SIZES / 1e7) + 0.002 * np.log(SIZES / 1e7) ** 2
    found = CURVES[name](SIZES, bent[None])
    assert found.side_B[0] == side
    assert not found.bracketed_B.any()


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("jitter", [0.0, 1e-15, 1e-12])
def test_equal_losses_have_no_minimum_whatever_rounding_says(name: str, jitter: float) -> None:
    flat = 3.0 * (1 + jitter * np.random.default_rng(1).standard_normal((200, len(SIZES))))
    found = CURVES[name](SIZES, flat)
    assert np.isnan(found.side_B).all()
    assert not found.bracketed_B.any()


def test_an_interpolant_s_minimum_is_the_least_point_of_a_fine_grid() -> None:
    from scipy.interpolate import Akima1DInterpolator

    rng = np.random.default_rng(2)
    losses = U_SHAPE * np.exp(0.01 * rng.standard_normal((50, len(SIZES))))
    x = np.linspace(np.log(SIZES[0]), np.log(SIZES[-1]), 20001)
    fine = Akima1DInterpolator(np.log(SIZES), np.log(losses), axis=1)(x)
    found = by_akima(SIZES, losses)
    np.testing.assert_allclose(np.log(found.loss_B), fine.min(axis=1), atol=1e-8)
    np.testing.assert_allclose(found.x_B, x[fine.argmin(axis=1)], atol=1e-3)


@settings(max_examples=examples(40))
@given(
    seed=st.integers(0, 10_000),
    unit=st.floats(1e-3, 1e3),
    copies=st.integers(1, 3),
    offset=st.floats(-1.0, 5.0),
    name=st.sampled_from(sorted(CURVES)),
)
def test_minima_heed_neither_order_nor_units_nor_copies(
    seed: int, unit: float, copies: int, offset: float, name: str
) -> None:
    rng = np.random.default_rng(seed)
    loss = U_SHAPE * np.exp(0.01 * rng.standard_normal(len(SIZES)))
    plain = CURVES[name](SIZES, loss[None])
    order = rng.permutation(np.tile(np.arange(len(SIZES)), copies))
    other = CURVES[name](unit * SIZES[order], loss[order][None])
    np.testing.assert_allclose(other.x_B, plain.x_B + np.log(unit), atol=1e-7)
    np.testing.assert_allclose(other.loss_B, plain.loss_B, rtol=1e-9)
    if name != "akima":  # which interpolates log losses
        raised = CURVES[name](SIZES, loss[None] + offset)
        np.testing.assert_allclose(raised.x_B, plain.x_B, atol=1e-6)


@settings(max_examples=examples(5))
@given(seed=st.integers(0, 1000), unit=st.floats(0.01, 100.0), curve=st.sampled_from(sorted(CURVES)))
def test_the_exponent_heeds_neither_units_of_N_nor_row_order(seed: int, unit: float, curve: str) -> None:
    frame = isoflops(sd=0.002, seed=seed)
    other = frame.sample(frac=1, random_state=seed)
    other["n_params"] *= unit
    ours, theirs = (two(table_of(f), curve=curve, starts=2) for f in (frame, other))
    assert theirs.exponents["a"] == pytest.approx(ours.exponents["a"], abs=1e-6)


def test_repeats_are_averaged_by_the_interpolant_and_not_by_the_best_run() -> None:
    N = np.array([1e6, 2e6, 2e6, 4e6])
    loss = np.array([[3.1, 2.9, 3.1, 3.05]])
    assert by_argmin(N, loss).loss_B[0] == 2.9
    assert by_akima(N, loss).loss_B[0] == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (lambda f: f.iloc[:1], "approach 2 needs two"),
        (lambda f: f.iloc[:7], "has 1 budgets"),
        (lambda f: f.iloc[::7], "approach 2 needs two"),
        (lambda f: f.assign(n_params=1e8), "approach 2 needs two"),
    ],
)
def test_a_table_without_isoflops_is_refused(keep, message: str) -> None:
    with pytest.raises(UserError, match=message):
        two(table_of(keep(isoflops())))


def test_two_budgets_give_an_exponent_that_is_not_identified() -> None:
    found = two(table_of(isoflops(budgets=2)), bootstrap=100)
    assert found.exponents["a"] == pytest.approx(0.5126, abs=0.001)
    assert not found.trusted


@pytest.mark.parametrize("curve", CURVES)
def test_equal_losses_everywhere_are_no_fit(curve: str) -> None:
    found = two(table_of(isoflops().assign(loss=3.0)), curve=curve, bootstrap=50)
    assert all(b.n_opt is None and b.interior is False and b.convex is False for b in found.budgets or ())
    assert sum("flat and has no minimum" in line for line in found.warnings) == 6
    assert found.to_json()["exponents"]["a"] is None
    assert not found.trusted


def test_three_sizes_a_budget_leave_no_scatter_and_no_interval() -> None:
    found = two(table_of(isoflops(sd=0.001, sizes=3)), bootstrap=50)
    assert found.intervals is not None
    assert found.intervals.exponents["a"] == (None, None)
    assert all(b.n_interval == (None, None) for b in found.budgets or ())
    assert any("no scatter is left" in line for line in found.warnings)


def test_ends_that_redraws_leave_open_are_none() -> None:
    x = np.log(np.array([1e6, 2e6, 3e6, 4e6, 5e6] * 20))
    side = np.zeros(100)
    none = np.zeros((100, 2))

    def interval(changed: dict[int, float]) -> tuple[float | None, float | None]:
        at = side.copy()
        at[list(changed)] = list(changed.values())
        return open_interval(Minima(x, x, at, none), 0.9)

    assert interval({}) == (pytest.approx(1e6), pytest.approx(5e6))
    assert interval(dict.fromkeys(range(10), 1.0)) == (pytest.approx(1e6), None)
    assert interval(dict.fromkeys(range(10), -1.0)) == (None, pytest.approx(5e6))
    assert interval(dict.fromkeys(range(10), np.nan)) == (None, None)


def test_a_flat_noisy_budget_has_open_ends_and_says_so() -> None:
    found = two(table_of(isoflops(sd=0.02, width=2.0)), bootstrap=200)
    opened = [b for b in found.budgets or () if b.n_interval and None in b.n_interval]
    assert opened
    assert any("open at" in line for line in found.warnings)


def test_diagnostics_describe_the_parabola() -> None:
    form = shape(SIZES, U_SHAPE)
    assert form.convex
    assert form.width == pytest.approx(np.log(100))
    assert form.centring == pytest.approx((np.log(1.2e7) - np.log(1e7)) / (0.5 * np.log(100)))
    assert form.half_width == pytest.approx(np.sqrt(0.01 / 0.05))
    c0, c1, c2 = form.curve
    np.testing.assert_allclose(c0 + c1 * np.log(SIZES) + c2 * np.log(SIZES) ** 2, U_SHAPE)
    upside_down = shape(SIZES, 6 - U_SHAPE)
    assert (upside_down.convex, upside_down.centring, upside_down.half_width) == (False, None, None)


@pytest.mark.parametrize("curve", CURVES)
def test_bias_is_what_a_fit_without_noise_would_miss(curve: str) -> None:
    table = table_of(isoflops(width=64, centre=(2, 2), truth=LOPSIDED))
    groups = isoflop_groups(table)
    bias = surface_bias(table, groups, curve, LOPSIDED, SixN())
    found = two(table, curve=curve)
    for group, budget, missed in zip(groups, found.budgets or (), bias, strict=True):
        n_opt = optimal_size(find_law(SURFACE), LOPSIDED, np.array([group.flops]), SixN())[0]
        assert missed == pytest.approx(np.log((budget.n_opt or np.nan) / n_opt), abs=1e-6)
        assert budget.bias == pytest.approx(missed, abs=0.02)
        assert budget.bias is not None
        assert budget.bias_percent == pytest.approx(100 * np.expm1(budget.bias))
    if curve == "parabola":
        assert any("the curve would miss the fitted surface's minimum" in line for line in found.warnings)


@pytest.mark.parametrize(
    ("truth", "curve", "width", "centre", "percent"),
    [
        (CHINCHILLA, "parabola", 4, (1, 1), (0.4, 0.4)),
        (CHINCHILLA, "parabola", 16, (1, 1), (1.5, 1.5)),
        (CHINCHILLA, "parabola", 64, (1, 1), (3.4, 3.4)),
        (BESIROGLU, "parabola", 4, (0.5, 2), (-0.9, 1.5)),
        (BESIROGLU, "parabola", 64, (1, 1), (-1.0, -1.0)),
        (LOPSIDED, "parabola", 4, (1, 1), (1.9, 1.9)),
        (LOPSIDED, "parabola", 16, (1, 1), (7.7, 7.7)),
        (LOPSIDED, "parabola", 64, (1, 1), (18.0, 18.0)),
        (LOPSIDED, "akima", 64, (1, 1), (-3.3, -3.3)),
        (CHINCHILLA, "akima", 16, (1, 1), (-0.4, -0.4)),
        (CHINCHILLA, "argmin", 16, (2, 2), (26.0, 26.0)),
    ],
)
def test_biases_that_the_guide_quotes(truth, curve: str, width: float, centre: tuple, percent: tuple) -> None:
    """Percent of N at the smallest and the largest budget, seven sizes each, without noise."""
    table = table_of(isoflops(width=width, centre=centre, truth=truth))
    bias = surface_bias(table, isoflop_groups(table), curve, truth, SixN())
    found = 100 * np.expm1(np.array(bias, dtype=float))
    assert (found[0], found[-1]) == pytest.approx(percent, abs=0.06)


def test_weights_follow_each_minimum_s_own_spread() -> None:
    table = table_of(isoflops(sd=0.002))
    equal = two(table, bootstrap=200)
    weighted = two(table, bootstrap=200, minima_weights="precision")
    sd = np.array([b.n_log_sd for b in equal.budgets or ()])
    x = np.log([b.flops for b in equal.budgets or ()])
    y = np.log([b.n_opt or np.nan for b in equal.budgets or ()])
    assert equal.exponents["a"] == pytest.approx(np.polyfit(x, y, 1)[0])
    assert weighted.exponents["a"] == pytest.approx(np.polyfit(x, y, 1, w=1 / sd)[0])
    with pytest.raises(UserError, match="precision needs the redraws"):
        two(table, minima_weights="precision")
    unknown: Any = "cubic"
    with pytest.raises(UserError, match="minima_weights 'cubic' is unknown"):
        FitOptions(minima_weights=unknown)
    with pytest.raises(UserError, match="curve 'cubic' is unknown"):
        FitOptions(curve=unknown)


@pytest.mark.parametrize("curve", CURVES)
def test_a_fit_by_each_curve_goes_to_json_and_back(curve: str) -> None:
    found = two(table_of(grid()), curve=curve, bootstrap=50)
    data = found.to_json()
    again = LawFit.from_json(data)
    assert again.to_json() == data
    assert again.conventions.curve == curve
    for budget in data["budgets"]:
        assert {"centring", "width", "half_width", "bias", "bias_percent", "n_log_sd"} <= set(budget)


def test_a_held_out_curve_that_hardly_bends_warns_of_no_overflow() -> None:
    """Its minimum is at exp(1000) parameters, and numpy would say so to the user."""
    N = np.geomspace(1e4, 1e5, 5)
    loss = 3 - 0.1 * np.log(N) + 5e-5 * (np.log(N) - 10) ** 2
    held = table_of(pd.DataFrame({"n_params": N, "n_tokens": 1e12 / 6 / N, "loss": loss}))
    rng = np.random.default_rng(0)
    fitted = two(table_of(isoflops()), bootstrap=50)
    found = scored_minimum(fitted, held, isoflop_groups(held)[0], FitOptions(approach=2), rng)
    assert found.convex
    assert not found.interior
