"""Countdown with wrong tries before the solution: `synthetic:countdown-tries`.

A problem is that of `countdown`, marker, numbers and target, and then tries + 1 slots: an id that says what
comes, and a chain of steps. First come wrong tries, then the answer, and the slots that are left are filled
with the id "end". How many tries are drawn is uniform from none to `tries`. A try is drawn as the process
`countdown` draws steps, from the problem's numbers and not knowing the target. One that comes to the target
is an answer and ends the problem. So an answer is a solution drawn from all, whatever was tried before it:
nothing but what is wrong can be learned of a try.

Because the id comes before the chain, no loss has to be masked: steps after "answer" are always right, steps
after "try" never. The ids "try", "answer" and "end" come after the marker.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from isoflop.base.errors import UserError
from isoflop.train.data.frequency_tables import entropy
from isoflop.train.data.processes import check, countdown
from isoflop.train.data.processes.countdown import Steps
from isoflop.train.data.random_bits import below

THOUSANDTHS = 1000
"""The share of problems with tries is a multiple of a thousandth."""


@dataclass(frozen=True)
class Process(countdown.Process):
    """`tries`: the most before an answer. `explored`: the share of problems that may have any; in the others
    the first chain is the answer. `vocab`: ids without the three that `tries` needs, as in `countdown`."""

    numbers: int = 3
    largest: int = 12
    tries: int = 3
    explored: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check("countdown-tries", "tries", self.tries, 1, 15)
        check("countdown-tries", "explored", self.explored, 0, 1)
        if not math.isclose(self.explored * THOUSANDTHS, round(self.explored * THOUSANDTHS)):
            raise UserError(
                f"synthetic:countdown-tries: explored={self.explored:g} is no multiple of a thousandth"
            )

    @property
    def vocab_size(self) -> int:
        return self.vocab + 3

    @property
    def try_id(self) -> int:
        """The id that begins a wrong chain."""
        return self.vocab

    @property
    def answer_id(self) -> int:
        """The id that begins a right chain."""
        return self.vocab + 1

    @property
    def end_id(self) -> int:
        """The id that fills what follows the answer."""
        return self.vocab + 2

    @property
    def slots(self) -> int:
        """Chains that a problem has room for."""
        return self.tries + 1

    @property
    def slot_length(self) -> int:
        """Ids of a chain and of the one before it."""
        return 1 + self.steps_length

    @property
    def problem_length(self) -> int:
        """Ids of a whole problem."""
        return self.prompt_length + self.slots * self.slot_length

    def sample(self, tables: Any, keys_2xW: jax.Array, length: int) -> jax.Array:
        of_chain = 2 * (self.numbers - 1)
        words = self._words(keys_2xW, length, self.numbers + of_chain * self.slots + 2)
        numbers = self._numbers(words)
        solution = self._steps(numbers, words)
        target = solution[-1]
        may = below(next(words), np.uint32(THOUSANDTHS)) < np.uint32(round(self.explored * THOUSANDTHS))
        wanted = jnp.where(may, below(next(words), np.uint32(self.slots)), np.uint32(0))
        ids = [jnp.full_like(target, self.marker), *numbers, target]
        ended = jnp.zeros(target.shape, dtype=bool)
        for slot in range(self.slots):
            drawn = self._steps(numbers, words) if slot < self.tries else solution
            chain = [jnp.where(wanted == slot, x, y) for x, y in zip(solution, drawn, strict=True)]
            right = chain[-1] == target
            kind = jnp.where(right, np.uint32(self.answer_id), np.uint32(self.try_id))
            ids += [jnp.where(ended, np.uint32(self.end_id), x) for x in (kind, *chain)]
            ended |= right
        return self._windows(ids, length)

    def answer_chances(self, success: float) -> list[float]:
        """The chance of an answer in each slot, after wrong tries in all before it, on a problem that
        a try solves with this chance."""
        stops = [1.0 - self.explored * self.tries / self.slots]
        stops += [1.0 / (self.slots - slot) for slot in range(1, self.slots)]
        return [stop + (1.0 - stop) * success for stop in stops]

    def _entropy_given(self, numbers: tuple[int, ...], length: int) -> float:
        """Entropy of the target and the first `length` ids after it, nats.

        What was tried says nothing of what comes, but that it is wrong: slots are independent, given that
        the problem goes on, and a slot is a kind and then steps, of those that reach the target or not.
        """
        by_target: dict[int, float] = {}
        law: dict[Steps, float] = {}
        for steps, p in self.solutions(numbers):
            law[steps] = law.get(steps, 0.0) + p
            by_target[steps[-1]] = by_target.get(steps[-1], 0.0) + p
        total = entropy(np.array([*by_target.values()]))
        for target, success in by_target.items():
            hits = [(steps, p / success) for steps, p in law.items() if steps[-1] == target]
            # With a success of 1 nothing is left to be wrong, and no try is ever written.
            misses = [(steps, p / (1.0 - success)) for steps, p in law.items() if steps[-1] != target]
            goes_on, whole, rest = success, *divmod(length, self.slot_length)
            of_slot = [_of_beginnings(x, self.steps_length) for x in (hits, misses)]
            for slot, answers in enumerate(self.answer_chances(success)):
                if slot == whole and rest:
                    of_slot = [_of_beginnings(x, rest - 1) for x in (hits, misses)]
                if slot < whole or (slot == whole and rest):
                    of_kind = entropy(np.array([answers, max(0.0, 1.0 - answers)]))
                    total += goes_on * (of_kind + answers * of_slot[0] + (1.0 - answers) * of_slot[1])
                goes_on *= 1.0 - answers
        return total


def _of_beginnings(law: Iterable[tuple[Steps, float]], length: int) -> float:
    """Entropy of the first `length` ids of steps of this law, nats."""
    seen: dict[Steps, float] = {}
    for steps, p in law:
        seen[steps[:length]] = seen.get(steps[:length], 0.0) + p
    return entropy(np.array([*seen.values()]))
