"""Designs: the interval under noise that trunks share, the criterion, the guards, and what to run next."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.analysis import FitOptions, RunTable, UserError, find_law, fit, table_of
from isoflop.analysis.compute import SixN
from isoflop.analysis.design.criterion import Criterion, choose
from isoflop.analysis.design.estimate import Estimate, FinishedRuns, estimate
from isoflop.analysis.design.guards import (
    SIZES_OF_TESTED_BUDGET,
    budgets_to_test,
    edges,
    fill,
    optima,
    thin,
    window,
)
from isoflop.analysis.design.next_runs import Identify, IdentifyingRuns, Narrow, Proposal, next_runs
from isoflop.analysis.design.space import Space, Trunk, marks, subsets
from isoflop.analysis.design.targets import Target, parse_target
from isoflop.analysis.laws import chinchilla
from isoflop.analysis.laws.evaluate import evaluate, float64_on_cpu
from isoflop.analysis.uncertainty.trunk_noise import SHARES, posterior
from tests.support import simulate
from tests.support.examples import examples
from tests.support.surfaces import BESIROGLU, skaling_of, spread_runs

LAW, A = find_law("chinchilla"), Target("a")
ENDS = np.array([1e19, 1e21])
SIX = SixN()
BUDGETS = np.array([1e19, 1e20, 1e21])
SIZES = np.geomspace(1e8, 8e9, 8)
TRUNK_SD, RUN_SD = 0.004, 0.002
few = settings(max_examples=examples(15))


def space(decay: float = 0.2) -> Space:
    """Eight sizes by three budgets under 6ND, whose trunks end where the last branch leaves."""
    D_FxB = BUDGETS / (6 * SIZES[:, None])
    flops = np.broadcast_to(BUDGETS, D_FxB.shape)
    return Space(
        SIZES, BUDGETS, D_FxB, (1 - decay) * flops, decay * flops, np.ones(D_FxB.shape, dtype=bool), SIX
    )


def drawn(trunks: list[tuple[int, tuple[int, ...]]], rng: np.random.Generator) -> FinishedRuns:
    """Runs of Besiroglu et al.'s law on trunks (family, budgets) of `space`, with noise of both kinds."""
    at = [(f, b, k) for k, (f, budgets) in enumerate(trunks) for b in budgets]
    f_R, b_R, trunk_R = np.array(at).T
    N_R, D_R = SIZES[f_R], BUDGETS[b_R] / (6 * SIZES[f_R])
    effect_T, own_R = rng.standard_normal(len(trunks)), rng.standard_normal(len(at))
    loss_R = evaluate(LAW, BESIROGLU, N_R, D_R) * np.exp(TRUNK_SD * effect_T[trunk_R] + RUN_SD * own_R)
    return FinishedRuns(N_R, D_R, loss_R, trunk_R)


GRID: list[tuple[int, tuple[int, ...]]] = [(f, (0, 1, 2)) for f in range(8)] * 2
TRUE_A = float(A.values(LAW, BESIROGLU[None], ENDS, SIX)[0])


@pytest.fixture(scope="module")
def known() -> Estimate:
    """The exponent from two seeds of the whole grid."""
    return estimate(drawn(GRID, np.random.default_rng(0)), LAW, A, SIX, ENDS)


class TestTargets:
    def test_a_size_is_known_to_a_share_of_itself(self) -> None:
        target = parse_target("n_opt@1e22")
        value = float(target.values(LAW, BESIROGLU[None], ENDS, SIX)[0])
        assert target.shown(value) == pytest.approx(float(chinchilla.allocate(BESIROGLU, np.float64(1e22))))
        assert target.width(value - math.log(1.1), value + math.log(1.1)) == pytest.approx(0.1)

    @pytest.mark.parametrize("text", ["c", "n_opt", "a@1e20", "loss@", "loss@x", "n_opt@-1", "loss@inf"])
    def test_another_is_refused_in_one_line(self, text: str) -> None:
        with pytest.raises(UserError, match=r"^target .*@") as caught:
            parse_target(text)
        assert "\n" not in str(caught.value)


class TestPosterior:
    def test_it_is_generalized_least_squares(self) -> None:
        """Under each share of the trunk's: coefficients, information and variance against the plain
        formulas."""
        rng = np.random.default_rng(0)
        trunk_R = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4])
        J, y = rng.standard_normal((9, 2)), rng.standard_normal(9)
        found = posterior(J, y, trunk_R)
        for k in (0, 7, 19):
            same = trunk_R[:, None] == trunk_R
            V = (1 - SHARES[k]) * np.eye(9) + SHARES[k] * same
            M = J.T @ np.linalg.solve(V, J)
            best = np.linalg.solve(M, J.T @ np.linalg.solve(V, y))
            rest = (y - J @ best) @ np.linalg.solve(V, y - J @ best)
            np.testing.assert_allclose(found.information_KxPxP[k], M, rtol=1e-9)
            np.testing.assert_allclose(found.shift_KxP[k], best, rtol=1e-9)
            assert found.variance_K[k] == pytest.approx(rest / 7)

    def test_without_shared_trunks_the_interval_is_students(self) -> None:
        rng = np.random.default_rng(1)
        J, y = rng.standard_normal((8, 2)), rng.standard_normal(8)
        low, high = posterior(J, y, np.arange(8)).interval(np.array([1.0, 0.0]), 0.95)
        best, rest = np.linalg.lstsq(J, y, rcond=None)[:2]
        sd = math.sqrt(np.linalg.inv(J.T @ J)[0, 0] * rest[0] / 6)
        assert (low, high) == pytest.approx((best[0] - 2.4469 * sd, best[0] + 2.4469 * sd), rel=1e-4)

    def test_it_tells_a_trunks_noise_from_a_runs(self) -> None:
        rng = np.random.default_rng(2)
        trunk_R = np.repeat(np.arange(100), 4)
        noise = 0.3 * rng.standard_normal(100)[trunk_R] + 0.1 * rng.standard_normal(400)
        found = posterior(np.ones((400, 1)), noise, trunk_R)
        assert found.trunk_sd == pytest.approx(0.3, rel=0.2)
        assert found.run_sd == pytest.approx(0.1, rel=0.1)


class TestEstimate:
    def test_the_truth_comes_back_without_noise(self) -> None:
        runs = drawn(GRID, np.random.default_rng(0))
        clean = dataclasses.replace(runs, loss_R=evaluate(LAW, BESIROGLU, runs.N_R, runs.D_R))
        found = estimate(clean, LAW, A, SIX, ENDS)
        assert found.value == pytest.approx(TRUE_A, abs=1e-6)
        assert found.half_width < 1e-4

    @pytest.mark.slow
    def test_intervals_hold_the_truth_as_often_as_they_say(self) -> None:
        """One trunk a size: what a bootstrap of eight trunks would be far too sure of."""
        trunks = [(f, (0, 1, 2)) for f in range(8)]
        found = [estimate(drawn(trunks, np.random.default_rng(s)), LAW, A, SIX, ENDS) for s in range(100)]
        held = np.mean([f.interval[0] <= TRUE_A <= f.interval[1] for f in found])
        assert 0.89 <= held <= 1.0  # 95% aimed at, standard error 2%

    def test_noise_of_trunks_widens_what_replicates_of_branches_would_narrow(self, known: Estimate) -> None:
        """The same losses, taken for fresh runs, look surer than they are where sizes are compared."""
        runs = drawn(GRID, np.random.default_rng(0))
        loss = Target("loss", 1e21)
        shared = estimate(runs, LAW, loss, SIX, ENDS)
        alone = estimate(dataclasses.replace(runs, trunk_R=np.arange(len(runs.N_R))), LAW, loss, SIX, ENDS)
        assert shared.half_width > 1.1 * alone.half_width
        assert known.noise.trunk_sd > known.noise.run_sd

    def test_a_law_of_another_bend_is_noticed(self) -> None:
        bent = find_law("skaling")
        runs = drawn(GRID, np.random.default_rng(0))
        clean = evaluate(bent, skaling_of(BESIROGLU, 0.5), runs.N_R, runs.D_R)
        noise = runs.loss_R / evaluate(LAW, BESIROGLU, runs.N_R, runs.D_R)
        wrong = estimate(dataclasses.replace(runs, loss_R=clean * noise), LAW, A, SIX, ENDS)
        right = estimate(runs, LAW, A, SIX, ENDS)
        assert wrong.doubts
        assert not right.doubts

    def test_too_few_runs_are_refused(self) -> None:
        runs = drawn([(0, (0, 1, 2)), (1, (0, 1))], np.random.default_rng(0))
        with pytest.raises(UserError, match="5 runs at 5 distinct"):
            estimate(runs, LAW, A, SIX, ENDS)


def criterion_at(known: Estimate, within: Space) -> Criterion:
    return Criterion.of_estimate(known, within, within.possible_FxB)


def trunks_of_grid() -> list[Trunk]:
    return [Trunk(f, budgets, budgets) for f, budgets in GRID]


class TestCriterion:
    def test_slopes_are_the_laws_derivatives(self, known: Estimate) -> None:
        """Against central differences in theta."""
        inputs = (np.array([2e8, 3e9]), np.array([1e10, 2e10]))
        slopes = known.slopes(inputs)
        for p in range(5):
            move = 1e-6 * np.eye(5)[p]
            with float64_on_cpu():
                params = [
                    np.asarray(LAW.decode(known.theta_P + s * move, *known.problem.centre)) for s in (1, -1)
                ]
            ends = [evaluate(LAW, x, *inputs) for x in params]
            np.testing.assert_allclose(slopes[:, p], np.log(ends[0] / ends[1]) / 2e-6, rtol=1e-3)

    def test_the_first_pick_is_the_best_of_all_moves(self, known: Estimate) -> None:
        """Against every trunk with every set of budgets, one by one, by the covariance written out."""
        criterion = criterion_at(known, space())
        pick = choose(criterion, [], 1e30, ratio=1.0)[0]
        best, found = -math.inf, None
        for f in range(8):
            for cells in itertools.chain.from_iterable(
                itertools.combinations(range(3), r) for r in (1, 2, 3)
            ):
                J = criterion.slopes_FxBxP[f, list(cells)]
                V = (1 - criterion.share) * np.eye(len(cells)) + criterion.share
                M = criterion.information_PxP + J.T @ np.linalg.solve(V, J)
                before, after = (
                    criterion.gradient_P @ np.linalg.solve(m, criterion.gradient_P)
                    for m in (criterion.information_PxP, M)
                )
                price = 0.8 * BUDGETS[max(cells)] + 0.2 * BUDGETS[list(cells)].sum()
                worth = math.log(before / after) / price
                if worth > best:
                    best, found = worth, (f, cells)
        assert (pick.family, pick.budgets) == found

    def test_a_further_branch_costs_the_branch_alone(self, known: Estimate) -> None:
        middle = np.tile(np.arange(3) == 1, (8, 1))
        criterion = dataclasses.replace(criterion_at(known, space()), allowed_FxB=middle)
        trunks = [Trunk(f, (2,), (2,)) for f in range(8)]
        pick, *_ = choose(criterion, trunks, 0.25 * BUDGETS[1])
        assert pick.trunk is not None
        assert pick.flops == pytest.approx(0.2 * BUDGETS[1])

    def test_what_is_expected_is_what_a_refit_finds(self, known: Estimate) -> None:
        """The picks are simulated and fitted with the rest: the interval shrinks as foretold, on average."""
        picks = choose(criterion_at(known, space()), trunks_of_grid(), 2e22)
        begun = trunks_of_grid()
        for pick in picks:
            pick.train(begun)
        after = [(trunk.family, trunk.done) for trunk in begun]
        ratios = []
        for seed in range(12):
            before = estimate(drawn(GRID, np.random.default_rng(seed)), LAW, A, SIX, ENDS)
            now = estimate(drawn(after, np.random.default_rng(100 + seed)), LAW, A, SIX, ENDS)
            ratios.append(now.half_width / before.half_width)
        assert picks[-1].ratio < 0.8
        assert np.median(ratios) == pytest.approx(picks[-1].ratio, rel=0.15)

    def test_a_closed_trunk_is_not_gone_on_with(self, known: Estimate) -> None:
        trunks = [Trunk(f, (2,), (1, 2), open=False) for f in range(8)]
        picks = choose(criterion_at(known, space()), trunks, 1e21)
        assert picks
        assert all(pick.trunk is None or pick.trunk >= 8 for pick in picks)

    @few
    @given(flops=st.floats(1e18, 5e21), ratio=st.floats(0.1, 1.0), decay=st.sampled_from([0.2, 0.5]))
    def test_picks_stay_within_the_flops_and_only_narrow(
        self, known: Estimate, flops: float, ratio: float, decay: float
    ) -> None:
        within = space(decay)
        trunks = trunks_of_grid()[:8]
        picks = choose(criterion_at(known, within), trunks, flops, ratio)
        assert sum(pick.flops for pick in picks) <= flops * (1 + 1e-9)
        shrinking = [1.0, *(pick.ratio for pick in picks)]
        assert shrinking == sorted(shrinking, reverse=True)
        assert all(r > ratio for r in shrinking[1:-1])
        for pick in picks:
            pick.train(trunks)
        cells = np.array([marks(t.tried, 3) for t in trunks])
        total = within.flops(np.array([t.family for t in trunks]), cells).sum()
        before = within.flops(np.arange(8), np.ones((8, 3), dtype=bool)).sum()
        assert total - before == pytest.approx(sum(pick.flops for pick in picks), abs=1e-6 * total)

    def test_subsets(self) -> None:
        assert len(subsets(3)) == len(np.unique(subsets(3), axis=0)) == 7
        assert len(subsets(12)) == 78
        assert subsets(12).any(axis=1).all()


class TestGuards:
    at = np.log(np.array([3e8, 1e9, 3e9]))

    def losses(self, *cells: tuple[int, int]) -> np.ndarray:
        """The law's where there are runs."""
        found = np.full((8, 3), np.nan)
        for f, b in cells:
            found[f, b] = float(evaluate(LAW, BESIROGLU, SIZES[f], BUDGETS[b] / 6 / SIZES[f]))
        return found

    def test_a_minimum_at_an_end_gets_the_sizes_beyond(self) -> None:
        open_FxB = np.ones((8, 3), dtype=bool)
        lacking = edges(space(), self.losses((3, 0), (4, 0), (5, 0)), self.at, open_FxB)
        assert lacking == {0: [2, 1]}  # outwards, past the optimum at 3e8
        assert not edges(space(), self.losses((0, 0), (1, 0), (2, 0), (3, 0)), self.at, open_FxB)

    def test_the_frame_gets_its_sizes(self) -> None:
        lacking = thin(space(), self.losses((0, 0), (1, 0)), self.at, np.ones((8, 3), dtype=bool))
        assert {b: len(families) for b, families in lacking.items()} == {
            0: SIZES_OF_TESTED_BUDGET - 2,
            1: SIZES_OF_TESTED_BUDGET,
            2: SIZES_OF_TESTED_BUDGET,
        }
        assert budgets_to_test(6) == [0, 2, 5]

    def test_what_lacks_is_filled_on_trunks_that_are_there(self) -> None:
        picks = fill(space(), [Trunk(1, (2,), (2,)), Trunk(1, (), (), open=False)], {0: [1, 2], 1: [2]}, 1e30)
        assert [(p.family, p.trunk, p.budgets) for p in picks] == [
            (1, 0, (0,)),
            (2, None, (0,)),
            (2, 2, (1,)),
        ]
        assert [p.flops for p in picks] == pytest.approx([2e18, 1e19, 0.8 * (1e20 - 1e19) + 2e19])
        assert fill(space(), [], {0: [1]}, 1e18) == []

    def test_optima_stay_near_what_has_been_seen(self) -> None:
        losses = self.losses(*[(f, 0) for f in range(5)])
        wild = optima(space(), np.log(np.array([1e30, 1e40, np.nan])), losses)
        assert np.log(SIZES[4]) < wild[0] <= np.log(SIZES[4] * 4)
        assert wild[0] < wild[1] < wild[2] <= wild[0] + 0.7 * math.log(100) + 1e-9
        np.testing.assert_allclose(optima(space(), self.at, np.full((8, 3), np.nan)), self.at)

    def test_the_window_lies_about_the_optimum(self) -> None:
        near = window(space(), self.at)
        assert (near.sum(axis=0) >= SIZES_OF_TESTED_BUDGET).all()
        assert not near[7, 0]


def propose(table: RunTable, target: str, half_width: float, max_flops: float | None = None) -> Proposal:
    """The runs that narrow a target, by the fit with its defaults."""
    found = next_runs(table, Narrow(target, half_width, max_flops))
    assert isinstance(found, Proposal)
    return found


class TestProposal:
    def test_the_runs_reach_the_half_width(self) -> None:
        table = table_of(simulate.grid(0))
        found = propose(table, "a", 0.02)
        assert found.half_width > 0.02 >= found.half_width_after
        assert found.flops == pytest.approx(sum(run.flops for run in found.runs))
        widths = [run.half_width for run in found.runs]
        assert widths == sorted(widths, reverse=True)
        assert {run.trunk for run in found.runs} - {None} <= set(table.frame["trunk_id"])
        assert found.flops_to_target == pytest.approx(found.flops, rel=0.1)
        json.dumps(found.to_json(), allow_nan=False)

    def test_fewer_flops_buy_less_and_say_what_is_missing(self) -> None:
        table = table_of(simulate.grid(0))
        found = propose(table, "a", 0.02, max_flops=1e12)
        assert found.flops <= 1e12
        assert 0.02 < found.half_width_after < found.half_width
        assert found.flops_to_target is not None
        assert found.flops_to_target > 1e12

    def test_a_lopsided_budget_gets_its_minimum_first(self) -> None:
        frame = simulate.grid(0)
        top, least = frame["budget"].max(), 3e4
        kept = frame.loc[(frame["budget"] < top) | (frame["n_params_non_embedding"] > least)]
        table = table_of(pd.DataFrame(kept))
        first = propose(table, "a", 0.03).runs[0]
        assert first.budgets == (top,)
        assert "minimum" in first.why
        assert first.n_params < least

    def test_runs_that_stand_alone(self) -> None:
        found = propose(table_of(spread_runs(60, 0.01)), "loss@1e23", 0.005, max_flops=1e19)
        assert found.runs
        assert all(run.trunk is None and len(run.budgets) == 1 for run in found.runs)

    def test_nothing_lacks_where_all_is_known(self) -> None:
        found = propose(table_of(simulate.grid(0)), "a", 0.5)
        assert found.runs == ()
        assert found.flops_to_target is None

    @pytest.mark.parametrize(
        ("law", "target", "width", "why"),
        [
            ("chinchilla", "a", -1.0, "--half-width -1"),
            pytest.param("gadre", "a", 0.02, "gadre fixes a", marks=pytest.mark.slow),
            pytest.param("general", "n_opt@1e20", 0.1, "no interior optimum at 1e", marks=pytest.mark.slow),
        ],
    )
    def test_what_cannot_be_is_one_line(self, law: str, target: str, width: float, why: str) -> None:
        with pytest.raises(UserError, match=why) as caught:
            next_runs(table_of(spread_runs(60, 0.01)), Narrow(target, width), FitOptions(law=law))
        assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def on_a_line() -> RunTable:
    """Runs that all have 20 tokens a parameter, from which the two terms cannot be told apart."""
    N_R = np.geomspace(2e7, 4e9, 24)
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(24))
    loss_R = evaluate(LAW, BESIROGLU, N_R, 20 * N_R) * noise
    return table_of(pd.DataFrame({"n_params": N_R, "n_tokens": 20 * N_R, "loss": loss_R}))


class TestGoals:
    def test_what_a_fit_leaves_open_is_identified_by_default(self, on_a_line: RunTable) -> None:
        """`plan --next` without a target and a fit's own `next_runs` are one answer."""
        fitted = fit(on_a_line, FitOptions())
        by_default = next_runs(on_a_line)
        assert isinstance(by_default, IdentifyingRuns)
        assert len(by_default.runs) == 2
        assert by_default == next_runs(on_a_line, Identify())
        assert by_default.runs == fitted.next_runs
        assert by_default.to_json()["runs"] == fitted.to_json()["next_runs"]
        assert {"alpha", "beta"} <= set(by_default.parameters)
        assert "--target" in by_default.warnings[-1]

    def test_a_target_that_is_named_is_narrowed_all_the_same(self, on_a_line: RunTable) -> None:
        found = next_runs(on_a_line, Narrow("a"))
        assert isinstance(found, Proposal)
        assert "leave out --target" in found.warnings[-1]
