"""The best split of samples over bins of difficulty, against linear programming and enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from isoflop.analysis import UserError
from isoflop.analysis.test_time.attempts import Attempts
from isoflop.analysis.test_time.difficulty import (
    NOTHING,
    DifficultyBin,
    SampleAllocation,
    SamplingOption,
    allocate_samples,
    bins_by_difficulty,
)

OPTIONS = st.builds(
    SamplingOption,
    st.sampled_from(["parallel", "revisions"]),
    st.sampled_from([1.0, 2.0, 4.0, 9.0]),
    st.floats(0, 1),
)
BINS = st.lists(
    st.tuples(st.floats(0.1, 5.0), st.lists(OPTIONS, min_size=1, max_size=5)), min_size=1, max_size=4
).map(lambda drawn: [DifficultyBin(str(i), w, tuple(options)) for i, (w, options) in enumerate(drawn)])


def by_linear_program(bins: list[DifficultyBin], budget: float) -> float:
    """The highest mean pass rate, where a bin's problems may be divided among its options."""
    weight = np.array([each.problems for each in bins]) / sum(each.problems for each in bins)
    columns = [(b, option) for b, each in enumerate(bins) for option in (NOTHING, *each.options)]
    gain = [weight[b] * option.pass_rate for b, option in columns]
    cost = [[weight[b] * option.samples for b, option in columns]]
    whole = [[float(b == i) for b, _ in columns] for i in range(len(bins))]
    return -linprog(-np.array(gain), cost, [budget], whole, np.ones(len(bins))).fun


@given(BINS, st.floats(0.05, 12.0))
def test_no_other_split_is_better(bins: list[DifficultyBin], budget: float) -> None:
    found = allocate_samples(bins, budget)
    assert found.pass_rate == pytest.approx(by_linear_program(bins, budget), abs=1e-7)
    assert found.samples <= budget * (1 + 1e-9)
    for each in found.bins:
        assert sum(share.share for share in each.shares) == pytest.approx(1.0)


@given(BINS, st.floats(0.05, 12.0))
def test_no_whole_choice_by_bin_is_better(bins: list[DifficultyBin], budget: float) -> None:
    weight = np.array([each.problems for each in bins]) / sum(each.problems for each in bins)
    best = 0.0
    for chosen in itertools.product(*((NOTHING, *each.options) for each in bins)):
        if weight @ [option.samples for option in chosen] <= budget:
            best = max(best, float(weight @ [option.pass_rate for option in chosen]))
    assert allocate_samples(bins, budget).pass_rate >= best - 1e-9


@given(BINS, st.floats(0.05, 6.0))
def test_more_samples_never_hurt_and_each_adds_less(bins: list[DifficultyBin], budget: float) -> None:
    rates = [allocate_samples(bins, budget * x).pass_rate for x in (1.0, 1.5, 2.0)]
    assert rates[0] <= rates[1] + 1e-12
    assert rates[1] - rates[0] >= rates[2] - rates[1] - 1e-9


def test_easy_problems_get_little_and_hopeless_ones_nothing() -> None:
    k = (1.0, 4.0, 16.0, 64.0)
    rate = {"easy": 0.8, "middling": 0.1, "hopeless": 1e-4}
    bins = [
        DifficultyBin(name, 1.0, tuple(SamplingOption("parallel", n, 1 - (1 - p) ** n) for n in k))
        for name, p in rate.items()
    ]
    found = allocate_samples(bins, 6.0)
    by_name = {each.name: each.samples for each in found.bins}
    assert by_name["hopeless"] == 0.0
    assert by_name["easy"] < by_name["middling"]
    assert found.uniform_pass_rate is not None
    assert found.pass_rate > found.uniform_pass_rate
    assert found.uniform_samples is not None
    assert found.uniform_samples > 6.0
    assert SampleAllocation.from_json(found.to_json()) == found
    assert "one option for all" in repr(found)


def test_bins_are_judged_by_samples_that_did_not_rank_them() -> None:
    rates = np.full(2000, 0.5)
    c = np.random.default_rng(0).binomial(8, rates)
    bins = bins_by_difficulty(Attempts(tuple(map(str, range(2000))), np.full(2000, 8), c), 4)
    first = [each.options[0].pass_rate for each in bins]
    np.testing.assert_allclose(first, 0.5, atol=0.04)  # equally hard: no bin is easier
    assert [each.problems for each in bins] == [500.0] * 4


@pytest.mark.parametrize(
    ("bins", "budget", "message"),
    [
        ([], 1.0, "no bins"),
        ([DifficultyBin("a", 1.0, (SamplingOption("x", 1.0, 0.5),))], 0.0, "must be a positive number"),
    ],
)
def test_refuses(bins: list[DifficultyBin], budget: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        allocate_samples(bins, budget)
    with pytest.raises(UserError, match=r"bin a: x has pass rate 1\.5 at 1 samples"):
        DifficultyBin("a", 1.0, (SamplingOption("x", 1.0, 1.5),))
    with pytest.raises(UserError, match="a positive number of problems"):
        DifficultyBin("a", 0.0, (SamplingOption("x", 1.0, 0.5),))
    with pytest.raises(UserError, match="3 bins of 2 problems"):
        bins_by_difficulty(Attempts(("a", "b"), np.array([4, 4]), np.array([1, 2])), 3)
