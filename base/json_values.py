"""Values to JSON and back, and names made of their content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from isoflop.base.errors import UserError

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """A dataclass as plain JSON values."""
    return _adapter(type(value)).dump_python(value, mode="json")


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

    Fields that keep their own as `canonical`, such as the recipe that many cells share, are not spelled anew.
    """
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    parts = {field.name: getattr(value, field.name) for field in fields}
    if not any(hasattr(part, "canonical") for part in parts.values()):
        return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"))
    texts = {name: getattr(part, "canonical", None) or json.dumps(part) for name, part in parts.items()}
    return "{" + ",".join(f'"{name}":{texts[name]}' for name in sorted(texts)) + "}"


@cache
def _adapter(cls: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(cls)
