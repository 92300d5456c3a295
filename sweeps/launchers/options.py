"""A launcher's settings: from `--launcher-options`, from a TOML file named there, from the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from isoflop.base.errors import UserError

T = TypeVar("T")


def read_options(kind: type[T], launcher: str, text: str, environ: Mapping[str, str] = os.environ) -> T:
    """Return the settings `kind`, a dataclass of a launcher's, filled from `text`: `key=value,file.toml`.

    A key stands for a field, `table.key` for an entry of one that is a mapping. What stands further right
    counts, and all of it before ISOFLOP_LAUNCHER_KEY in the environment. Raises `UserError` for an unknown
    key, a value of the wrong kind, and a file that isn't there or isn't TOML.
    """
    hints = get_type_hints(kind)
    variables = {field: f"ISOFLOP_{launcher}_{field}".upper() for field in hints}
    values = {
        field: _value(name, environ[name], hints[field])
        for field, name in variables.items()
        if environ.get(name)
    }
    for key, given in _pairs(text):
        field, _, entry = key.partition(".")
        if field not in hints:
            known = ", ".join(hints)
            raise UserError(f"unknown option {key!r} of the launcher {launcher}: known are {known}")
        value = _value(key, {entry: given} if entry else given, hints[field])
        values[field] = values.get(field, {}) | value if isinstance(value, dict) else value
    return kind(**values)


def _pairs(text: str) -> list[tuple[str, Any]]:
    """The keys and values of the text, in its order."""
    pairs: list[tuple[str, Any]] = []
    for part in filter(None, map(str.strip, text.split(","))):
        key, equals, value = part.partition("=")
        if equals:
            pairs.append((key.strip(), value.strip()))
        elif part.endswith(".toml"):
            pairs += _read_toml(Path(part)).items()
        else:
            raise UserError(f"launcher option {part!r} is neither key=value nor a .toml file")
    return pairs


def _value(name: str, value: Any, hint: Any) -> Any:
    """A field's value from text or TOML. Mappings and lists hold text only; a list of one is its item."""
    if get_origin(hint) is tuple and not isinstance(value, list | dict):
        value = [value]
    try:
        return TypeAdapter(hint, config=ConfigDict(coerce_numbers_to_str=True)).validate_python(value)
    except ValidationError:
        what = "a whole number" if hint is int else f"of the kind {hint}"
        raise UserError(f"launcher option {name}={value}: not {what}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"no file of launcher options {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"launcher options {path} are not TOML: {error}") from error
