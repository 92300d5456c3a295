"""Countdown's windows against its law, and its floor against windows and against a count by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.train.data.corpus import prepare
from isoflop.train.data.processes.countdown import Process
from isoflop.train.data.synthetic_corpus import SyntheticCorpus

PROCESS = Process(numbers=3, largest=5, vocab=20)


def losses(process: Process, ids_WxT: np.ndarray) -> np.ndarray:
    """Minus the log probability of each window's targets, nats, by the law of `solutions`."""
    whole = process.prompt_length + process.steps_length
    found = []
    for window in ids_WxT.tolist():
        loss = 0.0
        for start in range(0, len(window), whole):
            problem = window[start : start + whole]
            numbers, rest = tuple(problem[1 : 1 + process.numbers]), problem[1 + process.numbers :]
            loss += len(numbers) * math.log(process.largest)
            if rest:
                shown = [[steps[-1], *steps][: len(rest)] for steps, _ in process.solutions(numbers)]
                weights = [p for _, p in process.solutions(numbers)]
                loss -= math.log(sum(p for ids, p in zip(shown, weights, strict=True) if ids == rest))
        found.append(loss / (len(window) - 1))
    return np.array(found)


@pytest.mark.parametrize("context", [8, 12, 19])
def test_the_floor_is_what_the_best_predictor_loses(context: int) -> None:
    """At a cut within a solution, at a whole problem, and at a cut within the second one."""
    corpus = prepare("synthetic:countdown,numbers=3,largest=5,vocab=20", "bytes")
    assert isinstance(corpus, SyntheticCorpus)
    found = losses(PROCESS, corpus.evaluation_windows("heldout", context, 2000).astype(int))
    error = found.std(ddof=1) / math.sqrt(len(found))
    assert error < 0.01
    assert abs(found.mean() - corpus.floor(context)) < 3.5 * error


def test_the_floor_of_two_numbers_counted_by_hand() -> None:
    """Numbers 1 and 2 and results up to 4: 1 and 1 make 2, 0 or 1; 2 and 1 make 3, 1 or 2; 2 and 2 make 4, 0
    or 4. A third each, but that 2 + 2 and 2 * 2 share a target, which their steps tell apart."""
    process = Process(numbers=2, largest=2, vocab=9)
    assert process.floor({}, 7) == pytest.approx((2 * math.log(2) + math.log(3)) / 7)
    shared = 0.75 * math.log(3) + 0.25 * (math.log(3) - 2 / 3 * math.log(2))
    assert process.floor({}, 3) == pytest.approx((2 * math.log(2) + shared) / 3)


def test_all_solutions_are_drawn_as_often_as_they_should() -> None:
    for numbers in itertools.combinations_with_replacement(range(1, 6), 3):
        found = PROCESS.solutions(numbers)
        assert sum(p for _, p in found) == pytest.approx(1)
        assert all(max(steps[3], steps[7]) <= PROCESS.top for steps, _ in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numbers": 5}, "numbers=5 is outside 2 to 4"),
        ({"largest": 21}, "largest=21 is outside 1 to 20"),
        ({"vocab": 22}, "vocab=22 is outside 23 to 1024"),
    ],
)
def test_a_countdown_that_cannot_be_is_one_line(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=f"synthetic:countdown: {message}"):
        Process(**options)
