"""Devices and model shapes in TOML files: one file, one thing, in this package or of the user's own."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from isoflop.base.errors import UserError, perhaps
from isoflop.base.json_values import from_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

QUANTITY = re.compile(r"\s*([0-9][0-9_.,]*(?:[eE][+-]?\d+)?)\s*([KMGT]i?B|B)\s*")
UNITS = {
    "B": 1.0,
    **{f"{prefix}B": 1e3**k for k, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}iB": 1024.0**k for k, prefix in enumerate("KMGT", 1)},
}


def known(folder: Path) -> tuple[str, ...]:
    """Names of the TOML files of a folder, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def read(cls: type[T], folder: Path, name: str, kind: str) -> T:
    """The `cls` in the file of that name in `folder`, or in the .toml file that `name` is the path of.

    Raises `UserError` for an unknown name, with the known ones, and for a file that holds no `cls`.
    """
    path = Path(name) if name.endswith(".toml") else folder / f"{_plain(name)}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise UserError(f"no {kind} file {name}: check the path")
        raise UserError(
            f"unknown {kind} {name!r}{perhaps(_plain(name), known(folder))}: known are "
            f"{', '.join(known(folder))}; or name a .toml file of your own"
        )
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{kind} file {path} can't be read: {error}") from error
    return parsed(cls, {"name": path.stem} | raw, f"{kind} file {path}")


def parsed(cls: type[T], raw: dict[str, Any], where: str) -> T:
    """The dataclass with these fields. Raises `UserError`, with `where`, for unknown and for wrong ones."""
    names = [field.name for field in dataclasses.fields(cls)]
    if unknown := [key for key in raw if key not in names]:
        raise UserError(f"{where}: unknown {', '.join(unknown)}: it may have {', '.join(names)}")
    try:
        return from_json(cls, raw)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def in_bytes(text: str) -> float:
    """`80 GiB` or `141 GB` in bytes: a number without its unit is refused, since the two differ by 7%."""
    found = QUANTITY.fullmatch(text)
    if not found:
        raise UserError(f"memory {text!r}: give a number and its unit, as in '80 GiB' or '141 GB'")
    return float(found[1].replace("_", "").replace(",", "")) * UNITS[found[2]]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(" ", "-")
