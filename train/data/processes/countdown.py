"""Countdown, solved: `synthetic:countdown`. Small numbers, a target, and steps of arithmetic that reach it.

A problem is the marker, `numbers` numbers from 1 to `largest`, their target, and numbers - 1 steps of four
ids each: a, operator, b and the result, with a at least b. A step takes two of the numbers that are left and
puts its result in their place; the last result is the target. Steps are drawn first, and the target is what
they come to: a pair of what is left, each equally likely, then one of the operators +, - and * whose result
is at most `top`, each equally likely. A window is problem after problem, from a problem's beginning; the
last may be cut.

Ids 0 to `top` are numbers, then come +, -, * and the marker.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from isoflop.train.data.frequency_tables import entropy
from isoflop.train.data.processes import SyntheticProcess, Tables, check
from isoflop.train.data.random_bits import below, threefry

OPERATORS = "+-*"
STEP = 4
"""Ids of a step."""

Steps = tuple[int, ...]
"""The ids of some steps, STEP each."""


@dataclass(frozen=True)
class Process(SyntheticProcess):
    """`numbers`: how many a problem has. `largest`: the largest of them. `vocab`: ids, five more than the
    largest result."""

    numbers: int = 4
    largest: int = 9
    vocab: int = 68
    seed: int = 0

    def __post_init__(self) -> None:
        check("countdown", "numbers", self.numbers, 2, 4)
        check("countdown", "largest", self.largest, 1, 20)
        # The sum of two numbers always fits, so that a problem's first step has a choice.
        check("countdown", "vocab", self.vocab, 2 * self.largest + 5, 1024)

    @property
    def top(self) -> int:
        """The largest result."""
        return self.vocab - len(OPERATORS) - 2

    @property
    def marker(self) -> int:
        """The id that begins a problem."""
        return self.vocab - 1

    @property
    def prompt_length(self) -> int:
        """Ids of a problem before its steps: marker, numbers, target."""
        return self.numbers + 2

    @property
    def steps_length(self) -> int:
        """Ids of a problem's steps."""
        return STEP * (self.numbers - 1)

    @property
    def problem_length(self) -> int:
        """Ids of a whole problem."""
        return self.prompt_length + self.steps_length

    def sample(self, tables: Any, keys_2xW: jax.Array, length: int) -> jax.Array:
        words = self._words(keys_2xW, length, 3 * self.numbers - 2)
        first = self._numbers(words)
        steps = self._steps(first, words)
        marker = jnp.full_like(first[0], self.marker)
        return self._windows([marker, *first, steps[-1], *steps], length)

    def _words(self, keys_2xW: jax.Array, length: int, draws: int) -> Iterator[jax.Array]:
        """So many random words (W, P) of each problem in windows of that length."""
        problem_P = jnp.arange(-(-length // self.problem_length), dtype=jnp.uint32)
        # One call for all draws: each further one would be compiled again.
        key0, key1 = keys_2xW[:, :, None]
        draw_Dx1x1 = jnp.arange(draws, dtype=jnp.uint32)[:, None, None]
        return iter(threefry(key0, key1, problem_P, draw_Dx1x1)[0])

    def _windows(self, ids: list[jax.Array], length: int) -> jax.Array:
        """Windows (W, length) of problems, given by each of their ids (W, P)."""
        return jnp.stack(ids, axis=-1).reshape(len(ids[0]), -1)[:, :length]

    def _numbers(self, words: Iterator[jax.Array]) -> list[jax.Array]:
        """The numbers of each problem."""
        return [np.uint32(1) + below(next(words), np.uint32(self.largest)) for _ in range(self.numbers)]

    def _steps(self, numbers: list[jax.Array], words: Iterator[jax.Array]) -> list[jax.Array]:
        """The ids of random steps from these numbers to a single one."""
        left, steps = jnp.stack(numbers), []
        for taken in range(self.numbers - 1):
            pairs = np.array(list(itertools.combinations(range(self.numbers - taken), 2)), dtype=np.uint32)
            i, j = jnp.asarray(pairs)[below(next(words), np.uint32(len(pairs)))].transpose(2, 0, 1)
            one, other = (jnp.take_along_axis(left, place[None], axis=0)[0] for place in (i, j))
            steps += self._step(jnp.maximum(one, other), jnp.minimum(one, other), next(words))
            # The result takes the first one's place, and the last number left the second one's.
            place = jnp.arange(len(left), dtype=jnp.uint32)[:, None, None]
            left = jnp.where(place == i, steps[-1], jnp.where(place == j, left[-1], left))[:-1]
        return steps

    def _step(self, a: jax.Array, b: jax.Array, word: jax.Array) -> list[jax.Array]:
        """The ids of a step on a >= b: a, operator, b, result."""
        results = jnp.stack([a + b, a - b, a * b])
        allowed = results <= np.uint32(self.top)
        rank = below(word, jnp.sum(allowed, axis=0).astype(jnp.uint32))
        chosen = jnp.argmax(allowed & (jnp.cumsum(allowed, axis=0) == rank + 1), axis=0)
        result = jnp.take_along_axis(results, chosen[None], axis=0)[0]
        return [a, np.uint32(self.top + 1) + chosen.astype(jnp.uint32), b, result]

    def floor(self, tables: Tables, context: int) -> float:
        """As the protocol says, by enumeration of all steps; draws are taken for uniform, which 32 bits make
        them to 1e-7. What steps come to is their target, so that a whole problem has the entropy of its
        numbers and steps."""
        whole, rest = divmod(context + 1, self.problem_length)
        return (whole * self._entropy(self.problem_length) + self._entropy(rest)) / context

    def _entropy(self, length: int) -> float:
        """Entropy of a problem's first `length` ids, nats."""
        shown = min(max(length - 1, 0), self.numbers)
        of_numbers = shown * math.log(self.largest)
        if length <= self.numbers + 1:
            return of_numbers
        given = (
            orders * self._entropy_given(x, length - self.prompt_length) for x, orders in self._multisets()
        )
        return of_numbers + sum(given) / self.largest**self.numbers

    def _multisets(self) -> Iterator[tuple[tuple[int, ...], int]]:
        """All numbers that a problem can have, whatever their order, and how many orders they have."""
        for numbers in itertools.combinations_with_replacement(range(1, self.largest + 1), self.numbers):
            orders = math.factorial(self.numbers)
            for count in np.unique(numbers, return_counts=True)[1]:
                orders //= math.factorial(int(count))
            yield numbers, orders

    def _entropy_given(self, numbers: tuple[int, ...], length: int) -> float:
        """Entropy of the target and the first `length` ids after it, nats."""
        seen: dict[Steps, float] = {}
        for steps, p in self.solutions(numbers):
            prefix = (steps[-1], *steps[:length])
            seen[prefix] = seen.get(prefix, 0.0) + p
        return entropy(np.array([*seen.values()]))

    def solutions(self, numbers: tuple[int, ...]) -> list[tuple[Steps, float]]:
        """All steps from these numbers to a single one, each with the probability that it is drawn."""
        if len(numbers) == 1:
            return [((), 1.0)]
        found = []
        pairs = list(itertools.combinations(range(len(numbers)), 2))
        for i, j in pairs:
            rest = tuple(x for place, x in enumerate(numbers) if place not in (i, j))
            moves = self.moves(numbers[i], numbers[j])
            for step in moves:
                share = 1.0 / (len(pairs) * len(moves))
                found += [(step + more, share * p) for more, p in self.solutions((*rest, step[-1]))]
        return found

    def moves(self, one: int, other: int) -> list[Steps]:
        """The steps that two numbers allow."""
        a, b = max(one, other), min(one, other)
        results = enumerate((a + b, a - b, a * b), self.top + 1)
        return [(a, operator, b, result) for operator, result in results if result <= self.top]
