"""Plug-ins found by file name: one file in a package, holding one agreed attribute, is one plug-in."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from isoflop.base.errors import UserError


def names(package: str, attribute: str) -> list[str]:
    """The plug-ins of `package`: its modules that define `attribute`, sorted."""
    path = importlib.import_module(package).__path__
    found = (module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))
    return sorted(n for n in found if hasattr(importlib.import_module(f"{package}.{n}"), attribute))


def load(package: str, attribute: str, name: str, kind: str) -> ModuleType:
    """The plug-in `name` (dashes read as underscores), or the one in the file that a `.py` path names.

    Raises `UserError` with the known names for an unknown one.
    """
    if name.endswith(".py"):
        return _load_file(Path(name), attribute, kind)
    module = name.replace("-", "_")
    if module.isidentifier() and module[0] != "_" and importlib.util.find_spec(f"{package}.{module}"):
        plugin = importlib.import_module(f"{package}.{module}")
        if hasattr(plugin, attribute):
            return plugin
    known = ", ".join(n.replace("_", "-") for n in names(package, attribute))
    raise UserError(f"unknown {kind} {name!r}: known are {known}; or name a .py file of your own")


def _load_file(path: Path, attribute: str, kind: str) -> ModuleType:
    if not path.is_file():
        raise UserError(f"no {kind} file {path}: check the path")
    spec = importlib.util.spec_from_file_location(f"isoflop_{kind.replace(' ', '_')}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} can't be read as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{kind} file {path} failed on import: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        raise UserError(f"{kind} file {path} defines no {attribute!r}")
    return module
