"""Ways to spend samples, against enumeration and closed forms."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import (
    Attempts,
    Signal,
    Spending,
    UserError,
    Way,
    load_column,
    load_strategies,
    spend,
    ways_with_a_checker,
)


def attempts_of(n: int, c_P: Any) -> Attempts:
    """Problems with n samples each."""
    return Attempts(tuple(map(str, range(len(c_P)))), np.full(len(c_P), n), np.asarray(c_P))


def test_samples_until_the_first_right_one_are_those_of_all_orders() -> None:
    """Of four samples that judge, as many right as the halves leave."""
    attempts = attempts_of(8, [0, 2, 5, 8])
    ways = {way.name: way for way in ways_with_a_checker(attempts)}
    until, same = ways["until the first right one"], ways["the same for all"]
    right_P = np.round(same.rate_OxP[0] * 4).astype(int)
    for problem, right in enumerate(right_P):
        orders = list(itertools.permutations([True] * right + [False] * (4 - right)))
        for o, k in enumerate((1, 2, 3, 4)):
            spent = [next((i + 1 for i in range(k) if order[i]), k) for order in orders]
            assert until.cost_OxP[o, problem] == pytest.approx(np.mean(spent))
            solved = [any(order[:k]) for order in orders]
            assert until.rate_OxP[o, problem] == pytest.approx(np.mean(solved))
            assert same.rate_OxP[o, problem] == pytest.approx(np.mean(solved))


def test_what_first_samples_cost_is_counted_and_what_they_solve_too() -> None:
    attempts = attempts_of(40, [0] * 20 + [20] * 20)
    right_P = np.tile([0, 1], 20)
    signal = Signal("reward", np.arange(40.0), 4, right_P)
    [way] = [way for way in ways_with_a_checker(attempts, [signal]) if "reward" in way.name]
    assert way.price == 4
    assert way.cost_OxP[:3, 0].tolist() == [0, 1, 2]
    assert (way.rate_OxP[:, right_P == 1] == 1).all()
    np.testing.assert_array_equal(way.rate_OxP[0], right_P)  # the first alone
    assert (way.rate_OxP[:, :20:2] == 0).all()
    # All pay, whatever they get: at 4.5 samples half a sample is left.
    poor, able = (spend([way], budget, bins=2, bootstrap=20).ways[0] for budget in (4.0, 4.5))
    assert np.isnan(poor.pass_rate)
    assert able.cost == pytest.approx(4.5, abs=0.01)
    assert able.pass_rate > 0.5


def test_one_success_rate_for_all_leaves_stopping_alone_to_gain() -> None:
    """Until the first right one, at most k: (1 - q^k)/p samples; the same number for all: 1 - q^k of k."""
    attempts = attempts_of(4000, [2000] * 80)
    found = {each.way: each for each in spend(ways_with_a_checker(attempts), 1.99, bootstrap=20).ways}
    # The cap of 8 is at 1.992 samples: no more than one in 256 is left.
    until = found["until the first right one"]
    assert until.pass_rate == pytest.approx(1 - 0.5**7.7, abs=2e-3)
    assert until.worth == pytest.approx(4.0, abs=0.2)
    assert found["by known bins, at no price"].gain == pytest.approx(0.0, abs=3e-3)
    assert found["the same for all"].worth == pytest.approx(1.0)


def test_bins_that_are_known_spare_the_hopeless_and_a_signal_of_noise_gains_nothing() -> None:
    draw = np.random.default_rng(0)
    p_P = np.where(np.arange(400) % 2, 0.3, 0.0)
    noise = Signal("noise", draw.random(400))
    ways = ways_with_a_checker(attempts_of(200, draw.binomial(200, p_P)), [noise, Signal("truth", p_P)])
    spending = spend(ways, 2.0, bins=2, bootstrap=40)
    found = {each.way: each for each in spending.ways}
    # Twice the samples for each of those that can be solved.
    for name in ("by known bins, at no price", "by bins of truth"):
        assert found[name].pass_rate == pytest.approx((1 - 0.7**4) / 2, abs=0.01)
        assert found[name].worth == pytest.approx(2.0, abs=0.02)
        low, high = found[name].gain_interval
        assert low is not None
        assert high is not None
        assert 0 < low <= found[name].gain <= high
    assert found["by bins of noise"].gain < 0.003
    assert Spending.from_json(spending.to_json()) == spending
    assert "until the first right one" in repr(spending)


def test_a_pass_rate_that_no_number_for_all_reaches_is_beyond() -> None:
    cost_OxP = np.ones((1, 40))
    same = Way("half", cost_OxP, np.full((1, 40), 0.5))
    better = Way("most", cost_OxP, np.full((1, 40), 0.9))
    found = spend([same, better], 1.0, bins=2, bootstrap=20)
    half, most = found.ways
    assert (half.worth, half.worth_interval) == (1.0, (1.0, 1.0))
    assert most.gain == pytest.approx(0.4)
    assert np.isnan(most.worth)
    assert most.worth_interval == (None, None)
    assert "beyond" in repr(found)
    again = Spending.from_json(found.to_json())
    assert np.isnan(again.ways[1].worth)


def strategies() -> pd.DataFrame:
    """Two methods that are each right on one kind of problem."""
    rows = [
        {
            "method": method,
            "reward": "none",
            "samples": samples,
            "problem": p,
            "accuracy": float(p % 2 == odd),
        }
        for p in range(400)
        for method, samples, odd in (("likeliest", 1, 0), ("majority", 4, 1))
    ]
    return pd.DataFrame(rows)


def test_strategies_of_a_table_are_options() -> None:
    one = load_strategies(strategies())
    by_kind = replace(one, name="by kind", difficulty_P=1.0 - np.arange(400) % 2)
    found = spend([one, by_kind], 2.5, bins=2, bootstrap=20).ways
    assert found[0].pass_rate == pytest.approx(0.5, abs=0.06)
    assert found[1].pass_rate == pytest.approx(1.0, abs=0.05)
    assert found[1].cost == pytest.approx(2.5, abs=0.2)


def test_refuses_in_one_line() -> None:
    with pytest.raises(UserError, match="no column accuracy"):
        load_strategies(strategies().drop(columns="accuracy"))
    with pytest.raises(UserError, match="two rows of one option"):
        load_strategies(pd.concat([strategies(), strategies()]))
    with pytest.raises(UserError, match="some problems lack some options"):
        load_strategies(strategies().iloc[1:])
    with pytest.raises(UserError, match="a problem has 3 samples: take four or more"):
        ways_with_a_checker(attempts_of(3, [1, 2]))
    with pytest.raises(UserError, match="5 bins of 8 problems: take four problems a bin"):
        spend(ways_with_a_checker(attempts_of(8, [1] * 8)), 2.0)
    table = pd.DataFrame({"problem": [1, 2], "n": [4, 4], "c": [1, 2], "probe": [0.5, None]})
    with pytest.raises(UserError, match="no column reward with a number a problem"):
        load_column(table, "reward")
    with pytest.raises(UserError, match="probe is no number in row 1"):
        load_column(table, "probe")
