"""Learning rates at their edges and over all lengths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.train.schedules import learning_rates
from isoflop.train.spec import Schedule

PEAK = 0.5
NAMES: Any = ("wsd", "cosine", "linear")

names = st.sampled_from(NAMES)
steps = st.integers(1, 400)
warmups = st.integers(0, 60)
fractions = st.floats(0.05, 0.95)


def whole(schedule: Schedule, total: int) -> np.ndarray:
    """All rates of a run."""
    return learning_rates(schedule, PEAK, 0, total, total)


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_is_linear_and_ends_at_the_peak(name: Any) -> None:
    rates = whole(Schedule(name, warmup_steps=4), 100)
    np.testing.assert_allclose(rates[:4], [0.125, 0.25, 0.375, 0.5], rtol=1e-6)


def test_wsd_is_stable_and_then_one_minus_root() -> None:
    rates = whole(Schedule("wsd", warmup_steps=4, decay_fraction=0.2), 100)
    assert np.all(rates[3:80] == np.float32(PEAK))
    np.testing.assert_allclose(rates[80:], [PEAK * (1 - math.sqrt(k / 20)) for k in range(20)], rtol=1e-5)


def test_cosine_is_at_half_the_peak_half_way() -> None:
    rates = whole(Schedule("cosine", warmup_steps=4), 104)
    assert rates[54] == pytest.approx(PEAK / 2, rel=1e-5)
    assert rates[-1] == pytest.approx(PEAK * (1 + math.cos(math.pi * 0.99)) / 2, rel=1e-3)


def test_linear_falls_evenly() -> None:
    rates = whole(Schedule("linear", warmup_steps=4), 104)
    np.testing.assert_allclose(np.diff(rates[4:]), -PEAK / 100, rtol=1e-3)


def test_a_decay_may_end_above_zero() -> None:
    rates = whole(Schedule("linear", warmup_steps=1, final_fraction=0.1), 1001)
    assert rates[-1] == pytest.approx(PEAK * 0.1, rel=0.02)


@given(names, warmups, steps, fractions, st.floats(0, 1))
def test_rates_stay_between_zero_and_the_peak(
    name: Any, warmup: int, total: int, decay: float, final: float
) -> None:
    schedule = Schedule(name, warmup_steps=warmup, decay_fraction=decay, final_fraction=final)
    rates = whole(schedule, total)
    assert rates.shape == (total,)
    assert np.all(rates > 0), "a step that doesn't move is a step wasted"
    assert np.all(rates <= np.float32(PEAK))
    decay_starts = schedule.decay_start(total) if name == "wsd" else total
    assert np.all(np.diff(rates[: min(warmup, decay_starts)]) >= 0)
    assert np.all(np.diff(rates[max(warmup - 1, 0) :]) <= 0)


@given(names, warmups, steps, fractions, st.data())
def test_rates_do_not_depend_on_where_a_run_is_cut(
    name: Any, warmup: int, total: int, decay: float, data: st.DataObject
) -> None:
    schedule = Schedule(name, warmup_steps=warmup, decay_fraction=decay)
    cut = data.draw(st.integers(0, total))
    parts = [learning_rates(schedule, PEAK, a, b, total) for a, b in ((0, cut), (cut, total))]
    np.testing.assert_array_equal(np.concatenate(parts), whole(schedule, total))


@given(warmups, steps, fractions)
def test_the_trunk_is_the_beginning_of_every_branch(warmup: int, total: int, decay: float) -> None:
    schedule = Schedule("wsd", warmup_steps=warmup, decay_fraction=decay)
    branch_at = schedule.decay_start(total)
    trunk = learning_rates(schedule, PEAK, 0, branch_at, None)
    np.testing.assert_array_equal(trunk, whole(schedule, total)[:branch_at])


@given(st.integers(1, 2000), fractions)
def test_branches_leave_the_trunk_in_order(total: int, decay: float) -> None:
    schedule = Schedule("wsd", warmup_steps=0, decay_fraction=decay)
    assert 0 <= schedule.decay_start(total) <= schedule.decay_start(total + 1) <= total + 1


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_only_wsd_has_a_trunk(name: Any) -> None:
    assert Schedule(name, warmup_steps=3).decay_start(50) == 0
    with pytest.raises(ValueError, match="has no trunk"):
        learning_rates(Schedule(name, warmup_steps=3), PEAK, 0, 10, None)
