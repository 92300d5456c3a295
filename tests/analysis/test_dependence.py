"""Rows that are not independent: checkpoints of one run, repeats, a search over rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, RunTable, fit, load_runs, table_of
from isoflop.analysis.uncertainty.resampling import trunks_of

SIZES, STEPS = 20, 12


def law(N: Any, D: Any) -> Any:
    """E 1.8, alpha .35."""
    return 1.8 + 480 / N**0.35 + 2000 / D**0.36


def checkpointed(seed: int = 0) -> pd.DataFrame:
    """Runs of 20 sizes, 12 checkpoints each, with 1% noise that a run's checkpoints share."""
    rng = np.random.default_rng(seed)
    N = np.repeat(np.geomspace(5e7, 2e9, SIZES), STEPS)
    D = np.tile(np.arange(1, STEPS + 1) * 1e10, SIZES)
    loss = law(N, D) * np.repeat(np.exp(0.01 * rng.standard_normal(SIZES)), STEPS)
    names = np.repeat([f"m{i}" for i in range(SIZES)], STEPS)
    return pd.DataFrame({"run_name": names, "params": N, "tokens": D, "step": D / 4e6, "val_loss": loss})


def says(table: RunTable, words: str) -> list[str]:
    """The warnings with these words."""
    return [line for line in table.warnings if words in line]


@pytest.mark.parametrize("name", ["run_name", "Run ID", "run", "id", "Name", "model"])
def test_a_run_with_several_rows_is_a_trunk(name: str) -> None:
    table = table_of(checkpointed().rename(columns={"run_name": name}))
    member_R = trunks_of(table)
    assert member_R is not None
    np.testing.assert_array_equal(np.unique(member_R, return_counts=True)[1], STEPS)
    (line,) = says(table, "checkpoints of 20 runs")
    assert f"{name!r} repeats" in line
    assert says(table, "220 rows lie before the end of their run")
    assert table.counted("non_embedding", "6nd").column("trunk_id") is not None


def test_checkpoints_are_seen_by_their_equal_steps_where_nothing_names_the_run() -> None:
    table = table_of(checkpointed().drop(columns=["run_name", "step"]))
    assert trunks_of(table) is not None
    assert says(table, "tokens rise in equal steps")


def independent() -> dict[str, pd.DataFrame]:
    """Tables of runs that stand alone, though a column repeats."""
    N, D = (each.ravel() for each in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6)))
    frame = pd.DataFrame({"params": N, "tokens": D, "loss": law(N, D)})
    return {
        "the name of the model": frame.assign(name=[f"{n:.0f}" for n in N]),
        "the number of the seed": frame.assign(run=np.arange(36) % 3),
        "one name each": frame.assign(run_name=[f"r{i}" for i in range(36)]),
        "a constant": frame.assign(run="sweep"),
    }


@pytest.mark.parametrize("frame", independent().values(), ids=independent().keys())
def test_runs_that_stand_alone_are_no_checkpoints(frame: pd.DataFrame) -> None:
    table = table_of(frame)
    assert table.column("trunk_id") is None
    assert not says(table, "checkpoints")


def test_trunks_that_the_table_names_are_kept() -> None:
    table = table_of(checkpointed().assign(trunk_id="all"))
    assert set(table.frame["trunk_id"]) == {"all"}
    assert not says(table, "checkpoints")


def test_a_constant_rate_has_no_early_checkpoints() -> None:
    assert not says(table_of(checkpointed().assign(schedule="constant")), "before the end")


@pytest.mark.slow
def test_intervals_by_run_hold_the_truth() -> None:
    held = {"E": 0, "alpha": 0}
    for seed in range(4):
        found = fit(table_of(checkpointed(seed)), FitOptions(bootstrap=200, starts=64)).intervals
        assert found is not None
        for name, truth in (("E", 1.8), ("alpha", 0.35)):
            low, high = found.params[name]
            held[name] += low is not None and high is not None and low <= truth <= high
    assert min(held.values()) >= 3


def test_repeats_may_differ_in_what_is_incidental() -> None:
    rng = np.random.default_rng(0)
    frame = checkpointed().iloc[::STEPS].drop(columns=["step", "run_name"])
    frame = frame.assign(val_loss=frame["val_loss"] + 1e-3 * rng.random(SIZES), seed=0)
    twice = pd.concat([frame, frame.iloc[:5]], ignore_index=True)
    beside = {"created_at": range(25), "hostname": list("abcde") * 5, "_runtime": rng.random(25)}
    for name, cells in {**beside, "run_id": [f"x{i}" for i in range(25)]}.items():
        assert says(table_of(twice.assign(**{name: cells})), "5 of 25 rows repeat"), name
    assert not says(table_of(twice.assign(seed=range(25))), "rows repeat")
    coarse = twice.round({"val_loss": 2})
    assert not says(table_of(coarse.assign(run_id=[f"x{i}" for i in range(25)])), "rows repeat")


def searched() -> pd.DataFrame:
    """Five learning rates at each of 16 (N, D), the losses up to three times the best."""
    N, D = (each.ravel() for each in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
    factors = np.array([1.4, 1.0, 1.05, 1.6, 2.5])
    return pd.DataFrame(
        {
            "params": np.repeat(N, 5), "tokens": np.repeat(D, 5),
            "lr": np.tile([1e-4, 1e-3, 2e-3, 1e-2, 1e-1], 16),
            "loss": (law(N, D)[:, None] * factors).ravel(),
        }
    )  # fmt: skip


def test_a_search_over_rates_is_said_and_the_best_of_each_is_offered(tmp_path: Path) -> None:
    searched().to_csv(tmp_path / "runs.csv", index=False)
    (line,) = says(load_runs(tmp_path / "runs.csv"), "a search over learning rates")
    assert "80 of 80 rows" in line
    assert "--best-of-each" in line
    best = load_runs(tmp_path / "runs.csv", best_of_each=True)
    assert len(best) == 16
    np.testing.assert_allclose(best.loss_R, law(best.N_R, best.D_R))
    assert says(best, "16 of 80")
    assert not says(best, "search over")
    assert len(best.excluded) == 64
    assert len(best.counted("non_embedding", "6nd")) == 16


def test_seeds_and_data_sets_are_no_search() -> None:
    frame = searched()
    rng = np.random.default_rng(0)
    seeds = frame.assign(loss=law(frame["params"], frame["tokens"]) * np.exp(0.02 * rng.standard_normal(80)))
    assert not says(table_of(seeds), "search over")
    assert not says(table_of(frame.assign(dataset=list("abcde") * 16)), "search over")
