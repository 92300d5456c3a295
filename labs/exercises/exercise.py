"""An exercise, its answer, and what common mistakes give instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from isoflop.base.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Verdict:
    """What a check says; a notebook shows its text."""

    right: bool
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Mistake:
    """The answer that a common mistake gives, and what to think about then."""

    answer: float
    hint: str


@dataclass(frozen=True)
class Exercise:
    """A number to find. `tolerance`: how far an answer may be off, as a share of it."""

    expected: float
    mistakes: tuple[Mistake, ...]
    tolerance: float = 0.02

    def __repr__(self) -> str:
        return f"{self.expected:.6g} is expected, within {self.tolerance:.0%}."

    def judge(self, answer: Any) -> Verdict:
        """Right; or the hints of the mistakes that give this answer, or that no known one does."""
        if answer is None:
            return Verdict(False, "No answer yet.")
        value = _number(answer)
        if self._is(self.expected, value):
            return Verdict(True, "Right.")
        if hints := [each.hint for each in self.mistakes if self._is(each.answer, value)]:
            return Verdict(False, f"Not yet. {' Or: '.join(dict.fromkeys(hints))}")
        return Verdict(False, f"Not yet: {value:.4g} is off by more than {self.tolerance:.0%}.")

    def _is(self, wanted: float, value: float) -> bool:
        return math.isclose(wanted, value, rel_tol=self.tolerance)


@dataclass(frozen=True)
class Exercises:
    """One student's exercises of one notebook. `tables` are data frames by name; `values` numbers by name,
    such as the budget that a question is about."""

    tables: Mapping[str, pd.DataFrame] = field(repr=False)
    values: Mapping[str, float] = field(repr=False)
    solve: Callable[[], tuple[Exercise, ...]] = field(repr=False)
    """Finds the answers; called at the first check."""

    def check(self, number: int, answer: Any) -> Verdict:
        """Whether the answer to an exercise is right, and if not, a hint."""
        known = self.solved
        if not isinstance(number, int) or not 1 <= number <= len(known):
            raise UserError(f"no exercise {number}: they are numbered 1 to {len(known)}")
        return known[number - 1].judge(answer)

    @cached_property
    def solved(self) -> tuple[Exercise, ...]:
        """The exercises with their answers; the instructor's edition shows them."""
        return self.solve()


def _number(answer: Any) -> float:
    try:
        values = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        raise UserError(f"{answer!r}: the answer is one number") from None
    if values.size != 1 or not np.isfinite(values).all():
        raise UserError(f"{answer!r}: the answer is one finite number")
    return float(values.reshape(()))
