"""Which law predicts best: every contender on the same held-out runs, and what chance allows between them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import Competition, FitOptions, RunTable, UserError, compete, find_law, fit, table_of
from isoflop.analysis.approaches.holdout import largest_budget, split
from isoflop.analysis.comparison.competition import rivals
from isoflop.analysis.comparison.paired_test import Blocks, blocks_of
from isoflop.analysis.laws import known_laws
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.commands.fit_text import competition_lines
from tests.support.simulate import BUDGETS, grid
from tests.support.surfaces import BESIROGLU, skaling_of, spread_runs

FEW = ("chinchilla", "kaplan_compute")
FAST = FitOptions(bootstrap=0)


@pytest.fixture(scope="module")
def found(table: RunTable) -> Competition:
    """The grid's competition between two laws and the baselines."""
    return compete(table, FAST, FEW)


def noise_of(R: int, sd: float) -> np.ndarray:
    """Factors of log-normal noise."""
    return np.exp(sd * np.random.default_rng(0).standard_normal(R))


def isoflops(law: str = "chinchilla", truth: np.ndarray = BESIROGLU) -> pd.DataFrame:
    """Five budgets of seven sizes without noise."""
    rows = []
    for C in np.geomspace(1e19, 1e21, 5):
        centre = 0.6 * (C / 6) ** 0.5 / 4
        for N in centre * np.geomspace(0.3, 3, 7):
            rows.append({"n_params": N, "n_tokens": C / (6 * N), "flops": C, "budget": C})
    frame = pd.DataFrame(rows)
    loss = evaluate(find_law(law), truth, frame["n_params"], frame["n_tokens"])
    return frame.assign(loss=loss)


def test_every_surface_is_scored_on_the_same_runs_and_nothing_improves_loses(found: Competition) -> None:
    assert found.c_min == BUDGETS[-1]
    assert (found.n_fit, found.n_held_out) == (35, 7)
    rows = {row.name: row for row in found.rows}
    assert set(rows) == {"chinchilla", "kaplan_compute", "nothing improves", "log-linear"}
    for row in found.rows:
        assert row.n_scored == (7 if row.scored_on == "runs" else 2)
    assert [r.mean_abs_error for r in found.rows[:3]] == sorted(r.mean_abs_error for r in found.rows[:3])
    assert found.best == "chinchilla"
    assert rows["nothing improves"].bias < 0
    assert rows["nothing improves"].beyond_chance is True
    assert rows["chinchilla"].excess == 0
    assert rows["chinchilla"].interval == (None, None)
    assert rows["kaplan_compute"].scored_on == "envelope"
    assert rows["kaplan_compute"].interval == (None, None)


def test_errors_are_those_of_the_law_fitted_below(found: Competition, table: RunTable) -> None:
    alone = fit(table, FitOptions(bootstrap=0, starts=64, holdout=found.c_min))
    assert alone.holdout is not None
    assert alone.holdout.optimum is not None
    row = next(row for row in found.rows if row.name == "chinchilla")
    assert row.mean_abs_error == pytest.approx(alone.holdout.mean_abs_error)
    assert row.bias == pytest.approx(alone.holdout.bias)
    assert row.optimum_error == pytest.approx(alone.holdout.optimum.error)
    assert row.objective == pytest.approx(alone.objective.value if alone.objective else None)
    worst = max(alone.holdout.rows, key=lambda run: abs(run.error))
    assert (row.worst_row, row.worst) == (worst.row, pytest.approx(worst.error))


def test_baselines_are_what_they_say(table: RunTable, found: Competition) -> None:
    below, held = split(table, found.c_min)
    rows = {row.name: row for row in found.rows}
    kept = []
    for N, D, loss in zip(held.N_R, held.D_R, held.loss_R, strict=True):
        same = below.N_R == N
        if same.any():
            longest = below.D_R[same].max()
            kept.append(loss - below.loss_R[same & (longest == below.D_R)].mean())
        else:
            nearest = np.argmin(np.hypot(np.log(below.N_R / N), np.log(below.D_R / D)))
            kept.append(loss - below.loss_R[nearest])
    assert rows["nothing improves"].mean_abs_error == pytest.approx(np.abs(kept).mean())
    X, Y = (np.stack([t.N_R**0, np.log(t.N_R), np.log(t.D_R)]) for t in (below, held))
    slopes = np.linalg.solve(X @ X.T, X @ np.log(below.loss_R))
    error = np.abs(held.loss_R - np.exp(slopes @ Y)).mean()
    assert rows["log-linear"].mean_abs_error == pytest.approx(error)


def test_the_law_behind_the_runs_wins_without_error_and_says_by_how_much_others_lose() -> None:
    table = table_of(isoflops())
    found = compete(table, FAST, ("chinchilla", "gadre", "muennighoff"))
    assert found.best == "chinchilla"
    assert found.rows[0].mean_abs_error < 1e-9
    gadre = next(row for row in found.rows if row.name == "gadre")
    assert gadre.excess == pytest.approx(gadre.mean_abs_error)
    assert gadre.beyond_chance is True
    assert "n_tokens_unique" in found.left_out["muennighoff"]
    assert found.rows[0].optimum_error == pytest.approx(0, abs=2e-3)  # the parabola's own bias


def test_the_curve_asked_for_finds_the_measured_minimum() -> None:
    table = table_of(isoflops())
    by = {
        c: compete(table, FitOptions(bootstrap=0, curve=c), ("chinchilla",)) for c in ("parabola", "argmin")
    }
    top = 0.99 * table.C_R.max() < table.C_R
    assert by["argmin"].optimum_loss == pytest.approx(table.loss_R[top].min())
    assert by["parabola"].optimum_loss != pytest.approx(table.loss_R[top].min(), abs=1e-6)


def test_a_pair_of_errors_that_chance_could_swap_is_not_told_apart() -> None:
    blocks = Blocks(np.arange(7), "7 runs")
    gap = np.array([0.02, -0.02, 0.01, -0.01, 0.005, -0.004, 0.001])
    low, high = blocks.interval(gap, 0.95, 0)
    assert low is not None
    assert high is not None
    assert low < 0 < high
    sure = blocks.interval(gap + 0.1, 0.95, 0)
    assert sure == pytest.approx((low + 0.1, high + 0.1))
    assert Blocks(np.arange(3), "3 runs").interval(gap[:3], 0.95, 0) == (None, None)


def test_the_intervals_of_seven_normal_differences_hold_their_mean_nearly_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    blocks = Blocks(np.arange(7), "7 runs")
    spans = [blocks.interval(rng.standard_normal(7), 0.9, 0) for _ in range(300)]
    held = np.mean([(low or 0.0) < 0 < (high or 0.0) for low, high in spans])
    assert 0.85 < held < 0.95


def test_runs_of_one_trunk_are_resampled_together() -> None:
    frame = grid()
    table = table_of(frame)
    assert blocks_of(table).description == "16 shared trunks, each whole"
    assert int(blocks_of(table).member_R.max()) + 1 == frame["trunk_id"].nunique()
    assert blocks_of(table_of(frame.drop(columns="trunk_id"))).description == "42 runs"


def test_a_table_without_budgets_holds_out_its_largest_fifth_and_a_small_one_nothing() -> None:
    table = table_of(spread_runs(60, 0.01))
    c_min = largest_budget(table)
    assert c_min is not None
    assert (c_min <= table.C_R).sum() == 12
    few = table_of(spread_runs(9, 0.01))
    with pytest.raises(UserError, match="too few runs to hold some out: give a budget with --holdout"):
        compete(few, FAST, FEW)
    assert largest_budget(few) is None


def test_every_law_may_compete_but_the_one_that_nothing_identifies() -> None:
    laws = [find_law(name) for name in known_laws()]
    of_loss = {law.name for law in laws if law.target == "loss" and law.competes}
    assert set(rivals()) == of_loss
    assert "general" not in of_loss


def test_the_competition_is_plain_json_and_reads_as_a_table(found: Competition) -> None:
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["rows"][0]["name"] == "chinchilla"
    text = "\n".join(competition_lines(found))
    assert "fitted to 35 runs below 1.3e+12 FLOPs, scored on the 7 above" in text
    for row in found.rows:
        assert f"{row.mean_abs_error:.4f}" in text
    assert "envelope runs alone" in text
    assert list(competition_lines(None)) == []


class TestALawThatContainsAnother:
    LAWS = ("chinchilla", "skaling")

    def test_wins_where_it_is_the_truth(self) -> None:
        found = compete(table_of(isoflops("skaling", skaling_of(BESIROGLU, 0.5))), FAST, self.LAWS)
        assert found.best == "skaling"
        assert found.rows[0].mean_abs_error < 1e-6
        assert not found.left_out

    def test_is_left_out_where_the_runs_do_not_tell_it_apart(self) -> None:
        table = table_of(isoflops().assign(loss=lambda t: t["loss"] * noise_of(len(t), 0.03)))
        found = compete(table, FAST, self.LAWS)
        assert [row.name for row in found.rows if row.kind == "law"] == ["chinchilla"]
        assert found.left_out["skaling"].startswith("skaling: k not identified by the runs below 1e+21 FLOPs")

    def test_stays_where_it_is_asked_for(self) -> None:
        table = table_of(isoflops().assign(loss=lambda t: t["loss"] * noise_of(len(t), 0.03)))
        options = FitOptions(bootstrap=0, law="skaling")
        found = {row.name: row for row in compete(table, options, self.LAWS).rows}
        assert "k" in found["skaling"].unidentified
