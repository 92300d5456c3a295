"""Fields of dataclasses, checked by pydantic against their annotations and refused in one plain line.

`width: Annotated[int, Field(ge=4)]` states a field's type and its bounds once: the command line, a file and
Python are all held to it.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from isoflop.base.errors import UserError
from isoflop.base.formatting import pluralize

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
T = TypeVar("T")


def _each_once(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("each_once", "give each once")
    return values


Distinct = Annotated[tuple[T, ...], AfterValidator(_each_once)]
"""Values of which none comes twice; `Distinct[int]`."""
DistinctSome = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_each_once)]
"""The same, and there is one at least."""

BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
}
"""What a field takes, by pydantic's name for the error."""


class InvalidFieldError(UserError):
    """A value that its field does not take. `field`: its name, dotted within nested dataclasses."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field, self.reason = field, reason


def check_fields(value: Any, prefix: str = "") -> None:
    """Holds every field of a dataclass, and of dataclasses in its fields, to its annotation.

    For `__post_init__`, of a frozen dataclass too: lists become tuples, NumPy's scalars Python's, and whole
    floats ints where an int is wanted. Raises `InvalidFieldError` for the first field that does not fit.
    """
    for name, hint in _hints(type(value)).items():
        given = getattr(value, name)
        if dataclasses.is_dataclass(given):
            check_fields(given, f"{prefix}{name}.")
            continue
        plain = _plain(given, hint)
        try:
            checked = _adapter(type(value), name).validate_python({name: plain})[name]
        except ValidationError as error:
            raise InvalidFieldError(f"{prefix}{name}", _reason(error.errors()[0])) from None
        object.__setattr__(value, name, checked)


def _plain(value: Any, hint: Any) -> Any:
    """The value as the type that was meant: pydantic's strict mode takes no other."""
    if hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()
    if isinstance(value, list | tuple):
        return tuple(_plain(part, hint) for part in value)
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole and "float" not in str(hint) else value


def _reason(error: Any) -> str:
    """Why, as a person would say it: `3: must be at most 2`."""
    given, kind = error["input"], error["type"]
    if kind == "literal_error":
        known = error["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        return f"{given!r} is unknown: choose one of {known}"
    if kind in BOUNDS:
        word, bound = BOUNDS[kind][0], error["ctx"][BOUNDS[kind][1]]
        wanted = "a positive number" if (word, bound) == ("above", 0) else f"{word} {bound:,.10g}"
        return f"{given}: must be {wanted}"
    if kind == "string_too_short":
        return f"{given!r}: must have at least {pluralize(error['ctx']['min_length'], 'character')}"
    if kind == "each_once":
        return f"{', '.join(map(str, given))}: {error['msg']}"
    if kind == "too_short":
        return "none: give at least one"
    if kind in TYPES:
        return f"{given!r}: must be {TYPES[kind]}"
    return f"{given!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


@cache
def _adapter(cls: type, name: str) -> TypeAdapter[dict[str, Any]]:
    hints = {name: _hints(cls)[name]}
    shape: Any = TypedDict(cls.__name__, hints)  # pyright: ignore[reportArgumentType]  # made as it runs
    return TypeAdapter(with_config(ConfigDict(strict=True, allow_inf_nan=False))(shape))


@cache
def _hints(cls: type) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(cls)}
    hints = get_type_hints(cls, include_extras=True)
    return {name: hint for name, hint in hints.items() if name in names}
