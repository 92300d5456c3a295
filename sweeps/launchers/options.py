"""A launcher's settings: from `--launcher-options`, from a TOML file named there, from the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from isoflop.base.errors import UserError

T = TypeVar("T")


def read_options(kind: type[T], launcher: str, text: str, environ: Mapping[str, str] = os.environ) -> T:
    """The settings `kind`, a dataclass of a launcher's, filled from `text`: `key=value,key=value,file.toml`.

    A key stands for a field, `table.key` for an entry of one that is a mapping. What stands further right
    counts, and all of it before ISOFLOP_LAUNCHER_KEY in the environment. Raises `UserError` for an unknown
    key, a value of the wrong kind, and a file that isn't there or isn't TOML.
    """
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in fields(kind):  # pyright: ignore[reportArgumentType]  # a dataclass
        name = f"ISOFLOP_{launcher}_{field.name}".upper()
        if environ.get(name):
            values[field.name] = _value(name, environ[name], hints[field.name])
    for part in filter(None, map(str.strip, text.split(","))):
        key, equals, value = part.partition("=")
        if equals:
            given: dict[str, Any] = {key.strip(): value.strip()}
        elif part.endswith(".toml"):
            given = _read_toml(Path(part))
        else:
            raise UserError(f"launcher option {part!r} is neither key=value nor a .toml file")
        for key, value in given.items():
            field_name, _, entry = key.partition(".")
            if field_name not in hints:
                known = ", ".join(hints)
                raise UserError(f"unknown option {key!r} of the launcher {launcher}: known are {known}")
            new = _value(key, {entry: value} if entry else value, hints[field_name])
            values[field_name] = values.get(field_name, {}) | new if isinstance(new, dict) else new
    return kind(**values)


def _value(name: str, value: Any, hint: Any) -> Any:
    """A field's value from text or TOML. Mappings and lists hold text only."""
    if hint is int:
        try:
            return int(str(value))
        except ValueError:
            raise UserError(f"launcher option {name}={value}: not a whole number") from None
    if hint is str and not isinstance(value, dict | list):
        return str(value)
    if hint == tuple[str, ...] and not isinstance(value, dict):
        return tuple(map(str, value)) if isinstance(value, list) else (str(value),)
    if hint == dict[str, str] and isinstance(value, dict):
        return {str(k): str(v) for k, v in value.items()}
    raise UserError(f"launcher option {name}: {value!r} is not of the kind {hint}")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"no file of launcher options {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"launcher options {path} are not TOML: {error}") from error
