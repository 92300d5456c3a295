"""Plug-ins found by file name: one file in a package, holding one agreed attribute, is one plug-in."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from isoflop.base.errors import UserError, perhaps
from isoflop.base.plugin_files import PINNED, load_file, load_pinned


def names(package: str, attribute: str) -> list[str]:
    """The plug-ins of `package`: its modules that define `attribute`, sorted."""
    path = importlib.import_module(package).__path__
    found = (module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))
    return sorted(n for n in found if hasattr(importlib.import_module(f"{package}.{n}"), attribute))


def load(
    package: str, attribute: str, name: str, kind: str, unknown: Callable[[str], UserError] | None = None
) -> ModuleType:
    """The plug-in `name` (dashes read as underscores), or the one in the file that a `.py` path names, or
    that was pinned (`isoflop.base.plugin_files.pin`).

    Raises `UserError` with the known names for an unknown one, or what `unknown` makes of it.
    """
    if pinned := PINNED.fullmatch(name):
        return load_pinned(*pinned.groups(), attribute=attribute, kind=kind)
    if name.endswith(".py"):
        return load_file(Path(name), attribute, kind)
    module = name.replace("-", "_")
    if module.isidentifier() and module[0] != "_" and importlib.util.find_spec(f"{package}.{module}"):
        plugin = importlib.import_module(f"{package}.{module}")
        if hasattr(plugin, attribute):
            return plugin
    if unknown is not None:
        raise unknown(name)
    known = [each.replace("_", "-") for each in names(package, attribute)]
    meant = perhaps(module.replace("_", "-"), known)
    raise UserError(
        f"unknown {kind} {name!r}{meant}: known are {', '.join(known)}; or name a .py file of your own"
    )
