"""Which runs make one IsoFLOP curve: nearly equal budgets together, different ones apart."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.analysis import table_of
from isoflop.analysis.isoflops.groups import isoflop_groups, nearly_equal

SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.lists(st.integers(3, 9), min_size=2, max_size=6)


def members(C_R: np.ndarray) -> list[list[int]]:
    return [rows.tolist() for rows in nearly_equal(C_R, sizes(len(C_R)))]


def sizes(R: int) -> np.ndarray:
    return np.geomspace(1e6, 1e9, R)


def expected(counts: list[int]) -> list[list[int]]:
    edges = np.cumsum([0, *counts]).tolist()
    return [list(range(low, high)) for low, high in itertools.pairwise(edges)]


def scattered(counts: list[int], factor: float, share: float, seed: int) -> np.ndarray:
    """Runs of budgets `factor` apart, each off its budget by up to `share` to either side."""
    budgets = np.repeat(1e18 * factor ** np.arange(len(counts)), counts)
    return budgets * (1 + np.random.default_rng(seed).uniform(-share, share, len(budgets)))


@given(COUNTS, st.floats(1.3, 5), st.floats(0, 0.03), SEEDS)
def test_runs_that_scatter_around_their_budget_stay_together(counts, factor, share, seed) -> None:
    assert members(scattered(counts, factor, share, seed)) == expected(counts)


@given(COUNTS, st.floats(1.03, 1.3))
def test_exact_budgets_stay_apart_however_close(counts, factor) -> None:
    budgets = 1e18 * factor ** np.arange(len(counts))
    assert members(np.repeat(budgets, counts)) == expected(counts)


@given(COUNTS, SEEDS)
def test_rounding_parts_no_budget(counts, seed) -> None:
    """The same product taken in another order differs in its last bits."""
    assert members(scattered(counts, 1.1, 1e-12, seed)) == expected(counts)


@given(COUNTS, st.floats(1.3, 5), st.floats(0, 0.03), SEEDS, st.floats(1e-12, 1e12))
def test_neither_order_nor_unit_matters(counts, factor, share, seed, unit) -> None:
    C_R = scattered(counts, factor, share, seed)
    turn = np.random.default_rng(seed).permutation(len(C_R))
    found = [sorted(turn[rows]) for rows in nearly_equal(unit * C_R[turn], sizes(len(C_R))[turn])]
    assert found == members(C_R)


@given(COUNTS, st.floats(1.3, 5), SEEDS, st.integers(2, 4))
def test_repeated_runs_join_their_group(counts, factor, seed, times) -> None:
    C_R = scattered(counts, factor, 0.02, seed)
    twice = nearly_equal(np.tile(C_R, times), np.tile(sizes(len(C_R)), times))
    again = [sorted(rows.tolist()) for rows in twice]
    copies = [[row + k * len(C_R) for k in range(times) for row in rows] for rows in members(C_R)]
    assert again == copies


@pytest.mark.parametrize("step", [1.001, 1.01, 1.04, 1.06, 1.09])
def test_a_chain_of_small_steps_is_no_group(step: float) -> None:
    chain = 1e15 * step ** np.arange(400)
    assert not [rows for rows in nearly_equal(chain, sizes(400)) if len(rows) > 2]


def test_budgets_show_among_runs_of_other_designs() -> None:
    """As in Hoffmann et al.'s figure: most runs lie near a few budgets, others anywhere."""
    rng = np.random.default_rng(0)
    budgets = np.repeat([6e18, 3e19, 1e20, 6e20], 15) * np.exp(0.03 * rng.standard_normal(60))
    others = np.exp(rng.uniform(np.log(2e18), np.log(2e21), 25))
    table = table_of(
        pd.DataFrame({"n_params": sizes(85), "flops": np.concatenate([budgets, others]), "loss": 3.0})
    )
    groups = isoflop_groups(table)
    large = [group for group in groups if len(group.rows) >= 10]
    np.testing.assert_allclose([group.flops for group in large], [6e18, 3e19, 1e20, 6e20], rtol=0.05)


@given(SEEDS)
def test_runs_anywhere_are_no_design(seed: int) -> None:
    rng = np.random.default_rng(seed)
    C_R = np.exp(rng.uniform(np.log(1e18), np.log(1e22), 100))
    frame = pd.DataFrame({"n_params": sizes(100), "flops": C_R, "loss": 3.0})
    assert sum(len(group.rows) for group in isoflop_groups(table_of(frame))) < 60


def test_budgets_by_name_are_grouped_like_any_others() -> None:
    """A column of budgets may hold rounding, or a number each run came to."""
    budget = np.repeat([1e18, 1.1e18, 3e18], 4) * (1 + 1e-9 * np.arange(12))
    frame = pd.DataFrame({"n_params": sizes(12), "flops": budget, "loss": 3.0, "budget": budget})
    assert [group.rows.tolist() for group in isoflop_groups(table_of(frame))] == expected([4, 4, 4])
    frame.loc[[0, 5], "budget"] = np.nan
    assert [len(group.rows) for group in isoflop_groups(table_of(frame))] == [3, 3, 4]


def test_large_tables_are_grouped_in_a_moment() -> None:
    rng = np.random.default_rng(0)
    C_R = np.repeat(np.geomspace(1e18, 1e22, 9), 100_000) * rng.uniform(0.97, 1.03, 900_000)
    assert [len(rows) for rows in nearly_equal(C_R, sizes(900_000))] == [100_000] * 9
