"""Chained modular arithmetic, character by character: `synthetic:arithmetic`.

A problem is `steps` operations, an equals sign, a starting value, and the values after each operation, all
modulo `modulus` and of one number of digits: +5*2-4=03081612 is 3, 3 + 5 = 8, 8 * 2 = 16, 16 - 4 = 12. What
the first k values are depends on the first k operations alone, so that a problem of many steps holds one of
every shorter chain. Operators, operands and the starting value are uniform; values follow from them. A window
is problem after problem, from a problem's beginning; the last may be cut.

Ids 0 to 9 are the digits, then come +, -, * and =.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from isoflop.base.errors import UserError
from isoflop.train.data.frequency_tables import entropy, uniform_probabilities
from isoflop.train.data.processes import SyntheticProcess, Tables, check
from isoflop.train.data.random_bits import below, threefry

CHARACTERS = "0123456789+-*="
"""What each id is written as."""
PLUS, MINUS, TIMES, EQUALS = range(10, len(CHARACTERS))
OPERATORS = 3
STEP = 2
"""Ids of an operation: the operator and its operand."""


@dataclass(frozen=True)
class Process(SyntheticProcess):
    """`steps`: operations of a problem. `modulus`: values are less than it. `largest`: operands are from 1 to
    it. Where no operand shares a divisor with the modulus, every value is uniform too."""

    steps: int = 4
    modulus: int = 23
    largest: int = 9
    seed: int = 0

    def __post_init__(self) -> None:
        check("arithmetic", "steps", self.steps, 1, 64)
        check("arithmetic", "modulus", self.modulus, 2, 100)
        check("arithmetic", "largest", self.largest, 1, 9)
        if self.largest >= self.modulus:
            raise UserError(
                f"synthetic:arithmetic: largest={self.largest} is no operand modulo {self.modulus}: take "
                f"largest={self.modulus - 1} or less"
            )

    @property
    def vocab_size(self) -> int:
        return len(CHARACTERS)

    @property
    def digits(self) -> int:
        """Ids of a value."""
        return len(str(self.modulus - 1))

    @property
    def prompt_length(self) -> int:
        """Ids of a problem before its first answer: operations, =, the starting value."""
        return STEP * self.steps + 1 + self.digits

    @property
    def problem_length(self) -> int:
        """Ids of a problem with its answers."""
        return self.prompt_length + self.steps * self.digits

    def sample(self, tables: Any, keys_2xW: jax.Array, length: int) -> jax.Array:
        problem_P = jnp.arange(-(-length // self.problem_length), dtype=jnp.uint32)
        draws = jnp.arange(STEP * self.steps + 1, dtype=jnp.uint32)[:, None, None]
        key0, key1 = keys_2xW[:, :, None]
        start, *words = threefry(key0, key1, problem_P, draws)[0]
        values = [below(start, np.uint32(self.modulus))]
        operations = []
        for of_operator, of_operand in zip(words[::STEP], words[1::STEP], strict=True):
            operator = np.uint32(PLUS) + below(of_operator, np.uint32(OPERATORS))
            operand = np.uint32(1) + below(of_operand, np.uint32(self.largest))
            operations += [operator, operand]
            values.append(self._result(values[-1], operator, operand))
        equals = jnp.full_like(start, EQUALS)
        written = [digit for value in values for digit in self._digits(value)]
        ids_WxPxI = jnp.stack([*operations, equals, *written], axis=-1)
        return ids_WxPxI.reshape(keys_2xW.shape[1], -1)[:, :length]

    def _result(self, value: Any, operator: Any, operand: Any) -> Any:
        m = np.uint32(self.modulus)
        less = value + m - operand
        other = jnp.where(operator == MINUS, less, value * operand)
        return jnp.where(operator == PLUS, value + operand, other) % m

    def _digits(self, value: Any) -> list[Any]:
        """The ids of values, the first digit first."""
        return [value // np.uint32(10**place) % np.uint32(10) for place in reversed(range(self.digits))]

    def floor(self, tables: Tables, context: int) -> float:
        """As the protocol says. A window's first id is no target, and it begins a problem."""
        values = uniform_probabilities(self.modulus)
        begun = [
            entropy(np.bincount(np.arange(self.modulus) // 10**place, values).astype(np.float64))
            for place in reversed(range(self.digits))
        ]
        of_place = [
            *(entropy(uniform_probabilities(n)) for n in (OPERATORS, self.largest) * self.steps),
            0.0,
            *np.diff([0.0, *begun]),
            *[0.0] * (self.steps * self.digits),
        ]
        whole, rest = divmod(context + 1, self.problem_length)
        return (whole * sum(of_place) + sum(of_place[:rest]) - of_place[0]) / context

    def answers(self, prompts_BxL: NDArray[Any]) -> NDArray[np.int64]:
        """The ids (B, steps * digits) that follow each prompt, in whole numbers on the host."""
        operations_BxO = prompts_BxL[:, : STEP * self.steps].astype(np.int64)
        start_BxD = prompts_BxL[:, STEP * self.steps + 1 :].astype(np.int64)
        value_B = start_BxD @ (10 ** np.arange(self.digits)[::-1])
        written = []
        for place in range(0, STEP * self.steps, STEP):
            operator_B, operand_B = operations_BxO[:, place], operations_BxO[:, place + 1]
            results = (value_B + operand_B, value_B - operand_B, value_B * operand_B)
            value_B = np.choose(operator_B - PLUS, results) % self.modulus
            written += [value_B // 10**digit % 10 for digit in reversed(range(self.digits))]
        return np.stack(written, axis=1)
