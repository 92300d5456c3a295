"""Countdown with tries: its windows against its law, and its floor against windows and a count by hand."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.train.data.corpus import prepare
from isoflop.train.data.processes import countdown
from isoflop.train.data.processes.countdown_tries import Process
from isoflop.train.data.synthetic_corpus import SyntheticCorpus

SOURCE = "synthetic:countdown-tries,numbers=3,largest=4,vocab=17,tries=2,explored=0.8"
PROCESS = Process(numbers=3, largest=4, vocab=17, tries=2, explored=0.8)
WANTED = (0.2 + 0.8 / 3, 0.8 / 3, 0.8 / 3)
"""The chance of each number of tries, before one that solves the problem ends it."""


@pytest.fixture(scope="module")
def corpus() -> SyntheticCorpus:
    """What `PROCESS` makes."""
    found = prepare(SOURCE, "bytes")
    assert isinstance(found, SyntheticCorpus)
    return found


@pytest.fixture(scope="module")
def windows(corpus: SyntheticCorpus) -> np.ndarray:
    """Held-out problems, one a window."""
    return corpus.evaluation_windows("heldout", PROCESS.problem_length - 1, 2048).astype(int)


@cache
def chains(numbers: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """The chance of every chain from these numbers."""
    law: dict[tuple[int, ...], float] = {}
    for steps, p in PROCESS.solutions(numbers):
        law[steps] = law.get(steps, 0.0) + p
    return law


def chance(problem: list[int]) -> float:
    """The probability of a problem's beginning, which reaches into a slot, by summing over what was drawn."""
    numbers, target, rest = tuple(problem[1:4]), problem[4], problem[5:]
    law = chains(numbers)
    success = sum(p for steps, p in law.items() if steps[-1] == target)
    found = PROCESS.largest**-3.0
    for tries, start in enumerate(range(0, len(rest), 9)):
        kind, *chain = rest[start : start + 9]
        begun = [(steps, p) for steps, p in law.items() if list(steps[: len(chain)]) == chain]
        more = sum(WANTED[tries + 1 :])
        if kind == PROCESS.answer_id:
            assert set(rest[start + 9 :]) <= {PROCESS.end_id}
            return found * (WANTED[tries] + more * success) * sum(p for s, p in begun if s[-1] == target)
        assert kind == PROCESS.try_id
        missed = sum(p for s, p in begun if s[-1] != target)
        if start + 9 >= len(rest):
            return found * more * success * missed
        found *= missed
    raise AssertionError("a window ends within a slot")


@pytest.mark.parametrize("context", [8, 13, 17, 31])
def test_the_floor_is_what_the_best_predictor_loses(
    corpus: SyntheticCorpus, windows: np.ndarray, context: int
) -> None:
    """Cut within a chain, at its end, within the second one, and at a whole problem."""
    begun = windows[:, : context + 1].tolist()
    found = np.array([-math.log(chance(problem)) for problem in begun]) / context
    error = found.std(ddof=1) / math.sqrt(len(found))
    assert error < 0.012
    assert abs(found.mean() - corpus.floor(context)) < 3.5 * error


def test_kinds_come_as_often_as_they_should_and_tell_right_from_wrong(windows: np.ndarray) -> None:
    expected = np.zeros(3)
    for problem in windows:
        numbers, target = tuple(problem[1:4]), problem[4]
        success = sum(p for steps, p in chains(numbers).items() if steps[-1] == target)
        goes_on = 1.0
        for slot, answers in enumerate(PROCESS.answer_chances(success)):
            expected[slot] += goes_on * answers / len(windows)
            goes_on *= 1.0 - answers
            kind, result = problem[5 + 9 * slot], problem[13 + 9 * slot]
            if kind != PROCESS.end_id:
                assert (kind == PROCESS.answer_id) == (result == target)
    answered = (windows[:, 5::9] == PROCESS.answer_id).mean(axis=0)
    np.testing.assert_allclose(answered, expected, atol=3.5 * 0.5 / math.sqrt(len(windows)))
    assert answered.sum() == pytest.approx(1)


def test_a_shorter_window_is_the_beginning_of_a_longer_one(
    corpus: SyntheticCorpus, windows: np.ndarray
) -> None:
    """Which is how tasks pose the problems of windows that hold more."""
    np.testing.assert_array_equal(corpus.evaluation_windows("heldout", 5, 16), windows[:16, :6])


def test_unexplored_problems_are_those_of_countdown_answered_at_once() -> None:
    """Their entropy is that of countdown's; and one with a third of a chance has it by hand."""
    options = {"numbers": 2, "largest": 2, "vocab": 9}
    plain = countdown.Process(**options)
    none = Process(**options, explored=0.0)
    assert none.floor({}, 12) * 12 == pytest.approx(plain.floor({}, 7) * 7)
    # After numbers 1 and 2, and a target of three: at first 1/2 + 1/2 * 1/3, then always an answer.
    assert Process(**options, tries=1).answer_chances(1 / 3) == pytest.approx([2 / 3, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tries": 0}, "tries=0 is outside 1 to 15"),
        ({"explored": 1.5}, "explored=1.5 is outside 0 to 1"),
        ({"explored": 0.0005}, "explored=0.0005 is no multiple of a thousandth"),
    ],
)
def test_tries_that_cannot_be_are_one_line(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=f"synthetic:countdown-tries: {message}"):
        Process(**options)  # pyright: ignore[reportArgumentType]
