"""Ranges of numbers, each stated beside its field: `beta2: Annotated[float, Range(at_least=0, below=1)]`."""

from __future__ import annotations

import numbers
import types
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from isoflop.base.errors import UserError


@dataclass(frozen=True)
class Range:
    """The numbers that a field takes: finite ones between these bounds, None being no bound."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def holds(self, number: float) -> bool:
        """Whether the number is one of them."""
        return (
            number - number == 0  # neither infinite nor NaN, and whole numbers beyond float64 are welcome
            and (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )

    def __str__(self) -> str:
        if self == Range(above=0):
            return "a positive number"
        words = {"at_least": "at least", "above": "above", "at_most": "at most", "below": "below"}
        bounds = [f"{words[name]} {bound:,.10g}" for name, bound in vars(self).items() if bound is not None]
        return " and ".join(bounds) or "a finite number"


class OutOfRangeError(UserError):
    """A number outside its field's range. `field`: its name, dotted within nested dataclasses."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} {why}")
        self.field, self.why = field, why


def check_ranges(value: Any, prefix: str = "") -> None:
    """Raises `OutOfRangeError` for the first number of a dataclass, or of one within it, that is out of range
    or no number (no whole one, where the field is an int)."""
    for name, hint in _hints(type(value)).items():
        found = getattr(value, name)
        if is_dataclass(found):
            check_ranges(found, f"{prefix}{name}.")
        for number, kind, allowed in ranged(found, hint):
            is_number = isinstance(number, numbers.Integral if kind is int else numbers.Real)
            if not is_number or isinstance(number, bool):
                what = "a whole number" if kind is int else "a number"
                raise OutOfRangeError(f"{prefix}{name}", f"{number!r}: must be {what}")
            if not allowed.holds(number):
                raise OutOfRangeError(f"{prefix}{name}", f"{number}: must be {allowed}")


def ranged(value: Any, hint: Any) -> Iterator[tuple[Any, type, Range]]:
    """The numbers in a field's value that have a range by its type hint, each with its type and range."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from ((value, args[0], extra) for extra in args[1:] if isinstance(extra, Range))
    elif origin in (Union, types.UnionType) and value is not None:
        yield from (found for arg in args for found in ranged(value, arg))
    elif origin is tuple:
        hints = args[:1] * len(value) if args[1:] == (...,) else args
        for part, part_hint in zip(value, hints, strict=False):
            yield from ranged(part, part_hint)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)
