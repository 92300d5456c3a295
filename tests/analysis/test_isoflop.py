"""Approaches 1 and 2, groups of budgets, and held-out scores."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, RunTable, UserError, fit, load_runs, table_of
from isoflop.analysis.approaches.envelope import Contenders, contenders
from isoflop.analysis.compute import FamilyRule, SixN, SizeTable, allocate, per_token
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.isoflops.power_laws import loss_curve, power_law
from isoflop.analysis.options import Approach
from isoflop.analysis.uncertainty.resampling import trunk_noise
from isoflop.base.json_values import from_json, to_json
from tests.support.simulate import BUDGETS, TRUTH, grid, loss_at

TWO = FitOptions(approach=2, bootstrap=100)


def parabolas(
    vertex: float = 0.5, bend: float = 0.05, factors: tuple[float, ...] = (0.25, 0.5, 1, 2, 4)
) -> pd.DataFrame:
    """Exact parabolas in log N with N_opt = 1e-2 C^vertex."""
    rows = []
    for C in np.geomspace(1e18, 1e21, 5):
        for factor in factors:
            N = 1e-2 * C**vertex * factor
            loss = 2 + 400 * C**-0.15 + bend * np.log(factor) ** 2
            rows.append({"n_params": N, "n_tokens": C / (6 * N), "loss": loss, "flops": C, "budget": C})
    return pd.DataFrame(rows)


def test_parabolas_give_back_their_minima_and_exponent() -> None:
    found = fit(table_of(parabolas()), TWO)
    assert found.exponents["a"] == pytest.approx(0.5, abs=1e-9)
    assert found.exponents["b"] == pytest.approx(0.5, abs=1e-9)
    assert all(found.identified.values())
    for budget in found.budgets or ():
        assert budget.n_opt == pytest.approx(1e-2 * budget.flops**0.5)
        assert budget.loss_opt == pytest.approx(2 + 400 * budget.flops**-0.15)
        assert budget.d_opt == pytest.approx(budget.flops / (6 * (budget.n_opt or 0)))
        assert (budget.interior, budget.convex, budget.runs) == (True, True, 5)
    assert found.params["loss_E"] == pytest.approx(2, abs=0.02)


def test_a_concave_curve_has_no_minimum_and_says_which_sizes_to_add() -> None:
    found = fit(table_of(parabolas(bend=-0.05)), TWO)
    assert all(b.n_opt is None and b.convex is False for b in found.budgets or ())
    assert found.exponents["a"] is None or np.isnan(found.exponents["a"])
    assert found.to_json()["exponents"]["a"] is None
    assert not found.trusted
    assert sum("is concave" in line and "add sizes on both sides" in line for line in found.warnings) == 5


@pytest.mark.parametrize(
    ("factors", "side"), [((1.5, 2, 4, 6), "smallest"), ((0.1, 0.2, 0.4, 0.8), "largest")]
)
def test_a_minimum_beyond_the_edge_is_none(factors: tuple, side: str) -> None:
    found = fit(table_of(parabolas(factors=factors)), TWO)
    assert all(b.n_opt is None and b.interior is False and b.convex for b in found.budgets or ())
    assert any(f"at or beyond the {side} size; add sizes near" in line for line in found.warnings)


def test_budgets_are_grouped_by_flops_where_no_column_names_them() -> None:
    frame = parabolas().drop(columns="budget")
    jitter = np.exp(0.004 * np.random.default_rng(0).standard_normal(len(frame)))
    frame["flops"] *= jitter
    assert [len(g.rows) for g in isoflop_groups(table_of(frame))] == [5] * 5
    chain = pd.DataFrame(
        {"n_params": np.geomspace(1e6, 1e8, 40), "loss": 3.0, "flops": np.geomspace(1e15, 5e15, 40)}
    )
    assert isoflop_groups(table_of(chain)) == []


def test_equal_exact_budgets_are_no_isoflop_in_6nd(folder) -> None:
    with pytest.raises(UserError, match="equal in the table's own FLOPs, not in 6ND"):
        fit(load_runs(folder, flops="6nd"), TWO)
    with pytest.raises(UserError, match="approach 2 needs two"):
        fit(table_of(parabolas().iloc[:5]), TWO)


@pytest.mark.parametrize("approach", [1, 2])
def test_approaches_1_and_2_agree_with_the_truth_of_a_sweep(table: RunTable, approach: Approach) -> None:
    found = fit(table, FitOptions(approach=approach, bootstrap=200))
    cost = found.cost

    def surface(N, D):
        return TRUTH["E"] + TRUTH["A"] / N ** TRUTH["alpha"] + TRUTH["B"] / D ** TRUTH["beta"]

    C = np.array([BUDGETS[0], BUDGETS[-1]])
    N = allocate(surface, C, cost)
    slope = np.log(N[1] / N[0]) / np.log(C[1] / C[0])
    assert found.exponents["a"] == pytest.approx(slope, abs=0.08)
    assert found.intervals is not None
    low, high = found.intervals.exponents["a"]
    assert low is not None
    assert high is not None
    assert low < slope < high


def test_the_envelope_holds_only_runs_that_no_cheaper_run_beats(table: RunTable) -> None:
    found = fit(table, FitOptions(approach=1, bootstrap=0))
    for point in found.budgets or ():
        beaten = (point.flops >= table.C_R) & (table.loss_R < (point.loss_opt or 0) - 1e-12)
        assert not beaten.any()
    assert [b.flops for b in found.budgets or ()] == sorted(b.flops for b in found.budgets or ())


@pytest.mark.parametrize("approach", [1, 2, 3])
def test_the_largest_budget_is_predicted_from_the_smaller(table: RunTable, approach: Approach) -> None:
    found = fit(table, FitOptions(approach=approach, holdout=BUDGETS[-1], bootstrap=200, starts=32))
    held = found.holdout
    assert held is not None
    assert held.n_fit == found.n_runs == 35
    assert held.n_held_out == 7
    best = held.optimum
    assert best is not None
    assert best.error is not None
    assert best.loss_opt is not None
    assert best.loss_opt_interval is not None
    assert best.error == pytest.approx(best.loss_opt - best.loss_opt_predicted)
    assert abs(best.error) < 0.05
    low, high = best.loss_opt_interval
    assert low is not None
    assert high is not None
    assert low < best.loss_opt_predicted < high
    if approach == 3:
        assert held.mean_abs_error == pytest.approx(np.mean([abs(row.error) for row in held.rows]))
        assert held.coverage is not None
        assert held.coverage >= 5 / 7
    else:
        assert held.rows == ()
        assert held.mean_abs_error is None


def test_a_holdout_needs_runs_on_both_sides(table: RunTable) -> None:
    for c_min, side in ((1e20, "at or above"), (1e3, "below")):
        with pytest.raises(UserError, match=f"no run lies {side} it"):
            fit(table, FitOptions(holdout=c_min))


def test_trunk_noise_has_the_spread_it_is_given() -> None:
    rng = np.random.default_rng(0)
    member = np.repeat(np.arange(12), 5)
    residual = 0.01 * rng.standard_normal(12)[member] + 0.005 * rng.standard_normal(60)
    noise = trunk_noise(residual - residual.mean(), member, 5, 4000, rng)
    between = noise.reshape(4000, 12, 5).mean(axis=2).var()
    assert noise.std() == pytest.approx(residual.std() * np.sqrt(60 / 55), rel=0.15)
    assert between > 0.5 * noise.var()


def test_flops_per_token_of_the_table_are_interpolated_and_fade_to_6N() -> None:
    sizes = np.array([1e4, 3e4, 1e5])
    cost = SizeTable(n_params=tuple(sizes), flops_per_token=tuple(6 * sizes * np.array([2.0, 1.6, 1.3])))
    np.testing.assert_allclose(cost(sizes), 6 * sizes * np.array([2.0, 1.6, 1.3]))
    assert 1.3 < float(cost(np.array(5e4))) / (6 * 5e4) < 1.6
    assert float(cost(np.array(1e7))) / 6e7 == pytest.approx(1.03)
    assert from_json(SizeTable, to_json(cost)) == cost
    assert float(SixN()(np.array(2.0))) == 12.0


def test_power_laws_and_loss_curves_are_recovered() -> None:
    C = np.geomspace(1e10, 1e14, 6)
    np.testing.assert_allclose(power_law(C, (3 * C**0.4)[None]), [[3, 0.4]], rtol=1e-9)
    E, K, gamma = loss_curve(C, (1.5 + 90 * C**-0.2)[None])[0]
    assert (E, K, gamma) == pytest.approx((1.5, 90, 0.2), rel=1e-6)
    assert np.isnan(loss_curve(C[:1], np.ones((1, 1)))).all()


def test_simulated_grid_is_a_fair_one() -> None:
    frame = grid(noise=0.0)
    expected = [
        loss_at(n, d) for n, d in zip(frame["n_params_non_embedding"], frame["n_tokens"], strict=True)
    ]
    np.testing.assert_allclose(frame["loss"], expected)
    assert np.allclose(frame["flops"] / frame["budget"], 1, atol=0.01)


def test_a_family_rule_stands_for_the_sizes_of_a_sweep(table: RunTable) -> None:
    cost = per_token(table)
    assert isinstance(cost, FamilyRule)
    np.testing.assert_allclose(cost(table.N_R), table.C_R / table.D_R, rtol=0.03)
    assert float(cost(np.array(1e9))) == pytest.approx(6e9, rel=0.02)
    assert from_json(FamilyRule, to_json(cost)) == cost
    odd = table.frame.assign(flops=table.C_R * np.where(table.N_R > 2e4, 1.3, 1.0))
    assert isinstance(per_token(table_of(odd)), SizeTable)


def test_shared_trunks_are_not_resampled_as_runs(table: RunTable) -> None:
    """Few trunks: losses about the surface with an effect a trunk; many: trunks whole; none: runs."""

    def how(changed: RunTable) -> str:
        found = fit(changed, FitOptions(approach=1, bootstrap=20, starts=16))
        assert found.intervals is not None
        return found.intervals.resampling

    assert "effect of each of" in how(table)
    assert how(table_of(table.frame.drop(columns="trunk_id"))) == "runs, with replacement"
    pairs = [f"{i // 2}" for i in range(len(table))]
    assert how(table_of(table.frame.assign(trunk_id=pairs))) == "21 shared trunks, each whole"


def test_layers_hold_every_run_that_a_resample_can_put_on_the_envelope() -> None:
    rng = np.random.default_rng(0)
    N, D = np.exp(rng.uniform(14, 18, 3000)), np.exp(rng.uniform(18, 22, 3000))
    loss = (1.7 + 400 / N**0.34 + 400 / D**0.28) * np.exp(0.01 * rng.standard_normal(3000))
    table = table_of(pd.DataFrame({"n_params": N, "n_tokens": D, "loss": loss}))
    runs = contenders(table)
    assert len(runs.rows_K) < 3000
    order = np.argsort(table.C_R)
    every = Contenders(order, *(x[order] for x in (table.C_R, N, D, loss)), inside_K=np.ones(3000, dtype=int))
    for _ in range(50):
        kept_R = rng.multinomial(3000, np.full(3000, 1 / 3000)) > 0
        whole = every.on(np.where(kept_R[order], loss[order], np.inf)[None])[0]
        thin = runs.on(np.where(kept_R[runs.rows_K], runs.loss_K, np.inf)[None])[0]
        assert set(order[whole]) == set(runs.rows_K[thin])


@pytest.mark.slow
def test_the_envelope_of_a_million_runs_takes_seconds_and_little_memory() -> None:
    rng = np.random.default_rng(0)
    N, D = np.exp(rng.uniform(14, 21, 10**6)), np.exp(rng.uniform(18, 25, 10**6))
    loss = (1.7 + 400 / N**0.34 + 400 / D**0.28) * np.exp(0.01 * rng.standard_normal(10**6))
    table = table_of(pd.DataFrame({"n_params": N, "n_tokens": D, "loss": loss}))
    tracemalloc.start()
    found = fit(table, FitOptions(approach=1, bootstrap=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.exponents["a"] == pytest.approx(0.28 / 0.62, abs=0.05)
    assert peak < 1e9


@pytest.mark.parametrize("kind", ["one run", "equal losses", "growing losses"])
def test_an_envelope_of_one_budget_is_refused(kind: str) -> None:
    frame = parabolas()
    changed = {
        "one run": frame.iloc[:1],
        "equal losses": frame.assign(loss=3.0),
        "growing losses": frame.assign(loss=2 + frame["flops"] ** 0.01),
    }[kind]
    with pytest.raises(UserError, match="one budget beat all others"):
        fit(table_of(changed), FitOptions(approach=1, bootstrap=0))
