"""Values to JSON and back, and names made of their content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from functools import cache
from typing import Annotated, Any, Self, TypeVar

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from isoflop.base.errors import UserError

T = TypeVar("T")

FloatOrNaN = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number that may be NaN: JSON has none, so it is null there, and NaN again when it is read."""


class Serializable:
    """Gives a dataclass the two methods by which it goes to JSON and back."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: NaN and infinity become null."""
        return to_json(self)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """The inverse of `to_json`. Raises `UserError`, one line, for what is no such value."""
        return from_json(cls, value)


def to_json(value: Any) -> Any:
    """A dataclass as plain JSON values: NaN and infinity become null."""
    return json.loads(_adapter(type(value)).dump_json(value))


def from_json(cls: type[T], value: Any) -> T:
    """The dataclass back from JSON values; `UserError` naming the field that doesn't fit."""
    try:
        return _adapter(cls).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or cls.__name__
        raise UserError(f"{cls.__name__}: {where}: {first['msg']}") from error


def content_id(value: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def canonical_json(value: Any) -> str:
    """The value as JSON with sorted keys and no spaces.

    Fields that keep their own as `canonical`, such as the recipe that many cells share, are not spelled anew;
    beside them, an empty tuple is left out: an option that a value doesn't use is no part of its name.
    """
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    parts = {field.name: part for field in fields if (part := getattr(value, field.name)) != ()}
    if not any(hasattr(part, "canonical") for part in parts.values()):
        return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"))
    texts = {name: getattr(part, "canonical", None) or json.dumps(part) for name, part in parts.items()}
    return "{" + ",".join(f'"{name}":{texts[name]}' for name in sorted(texts)) + "}"


@cache
def _adapter(cls: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(cls)
