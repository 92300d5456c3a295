"""Countdown's problems and their exact checker, on the host and in whole numbers.

A step is right if it takes two of the numbers that are left, names their result, and leaves numbers from
which the target can still be reached. Reachability is found by dynamic programming over the numbers left;
after the last step it is whether the problem is solved.

Shape suffixes as in `isoflop.evals.tasks.task`.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from isoflop.evals.tasks.task import Ids, Task
from isoflop.train.data.processes.countdown import STEP, Process


class Countdown(Task):
    """The task of a process' problems."""

    @property
    def step_length(self) -> int:
        return STEP

    @property
    def steps(self) -> int:
        return self.process.numbers - 1

    def right(self, prompts_BxL: Ids, steps_BxS: Ids) -> NDArray[np.bool_]:
        """Whether each beginning (some steps, or all) is legal and the target can be reached from it."""
        both = zip(prompts_BxL.tolist(), steps_BxS.tolist(), strict=True)
        return np.array(
            [_right(self.process, tuple(prompt[1:-1]), prompt[-1], tuple(steps)) for prompt, steps in both],
            dtype=bool,
        )

    def checking_operations(self, steps_done: int) -> int:
        """Whole-number operations of one verdict, at most: all steps from the numbers that are left, three
        results a pair, without memory of the verdicts before."""
        operations = 0
        for left in range(2, self.process.numbers - steps_done + 1):
            operations = 3 * (left * (left - 1) // 2) * (1 + operations)
        return operations + 3 * steps_done

    def uniform_success(self, prompts_PxL: Ids) -> NDArray[np.float64]:
        """The chance (P,) of a policy that draws legal steps as the process does, not knowing the target."""
        laws = [(_results(self.process, tuple(row[1:-1])), row[-1]) for row in prompts_PxL.tolist()]
        return np.array([law.get(target, 0.0) for law, target in laws])


@lru_cache(maxsize=1 << 20)
def _right(process: Process, numbers: tuple[int, ...], target: int, steps: tuple[int, ...]) -> bool:
    left = numbers_left(process, numbers, steps)
    return left is not None and target in reachable(process, left)


def numbers_left(
    process: Process, numbers: tuple[int, ...], steps: tuple[int, ...]
) -> tuple[int, ...] | None:
    """The numbers after some steps, ascending; None if one of the steps is not legal."""
    left = sorted(numbers)
    for start in range(0, len(steps), STEP):
        step = steps[start : start + STEP]
        for number in (step[0], step[2]):
            if number not in left:
                return None
            left.remove(number)
        if step not in process.moves(step[0], step[2]):
            return None
        left = sorted([*left, step[3]])
    return tuple(left)


@lru_cache(maxsize=1 << 18)
def reachable(process: Process, left: tuple[int, ...]) -> frozenset[int]:
    """What all of these numbers, ascending, can be made into."""
    if len(left) == 1:
        return frozenset(left)
    found: set[int] = set()
    for i, j in itertools.combinations(range(len(left)), 2):
        rest = [x for place, x in enumerate(left) if place not in (i, j)]
        for step in process.moves(left[i], left[j]):
            found |= reachable(process, tuple(sorted([*rest, step[3]])))
    return frozenset(found)


@lru_cache(maxsize=1 << 12)
def _results(process: Process, numbers: tuple[int, ...]) -> dict[int, float]:
    law: dict[int, float] = {}
    for steps, p in process.solutions(numbers):
        law[steps[-1]] = law.get(steps[-1], 0.0) + p
    return law
