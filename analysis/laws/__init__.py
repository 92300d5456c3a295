"""The registry of scaling laws: a law is one module here, or one file of the user's own.

A module `analysis/laws/NAME.py` holds one `Law` called `LAW`; nothing else has to be told about it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
from pathlib import Path

from analysis.errors import UserError
from analysis.laws.law import Law

__all__ = ["Law", "find_law", "known_laws"]


def known_laws() -> tuple[str, ...]:
    """Names of the laws in this package, sorted."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if name != "law"))


@functools.cache
def find_law(name: str) -> Law:
    """The law called `name`, or the one in the Python file that `name` is a path to.

    Raises `UserError` for a name nobody knows, a file that isn't there, and a file without a `LAW`.
    """
    if name.endswith(".py"):
        return _law_of_file(Path(name))
    if name not in known_laws():
        known = ", ".join(known_laws())
        raise UserError(
            f"unknown law {name!r}: known are {known}; a file of your own is named as ./my_law.py"
        )
    return importlib.import_module(f"{__name__}.{name}").LAW


def _law_of_file(path: Path) -> Law:
    if not path.is_file():
        raise UserError(f"no law at {path}: the file does not exist")
    spec = importlib.util.spec_from_file_location(f"user_law_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be imported as a Python module")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path} failed on import: {type(error).__name__}: {error}") from error
    law = getattr(module, "LAW", None)
    if not isinstance(law, Law):
        raise UserError(
            f"{path} defines no LAW: set LAW = analysis.laws.Law(...) as analysis/laws/chinchilla.py does"
        )
    return law
