"""The registry of scaling laws: a law is one module here, or one file of the user's own.

A module `analysis/laws/NAME.py` holds one `Law` called `LAW`; nothing else needs to name it.
"""

from __future__ import annotations

import functools

from isoflop.analysis.laws.law import Law
from isoflop.base import plugins
from isoflop.base.errors import UserError

__all__ = ["Law", "find_law", "known_laws"]


def known_laws() -> tuple[str, ...]:
    """Names of the laws in this package, sorted."""
    return tuple(plugins.names(__name__, "LAW"))


@functools.cache
def find_law(name: str) -> Law:
    """The law called `name`, or the one in the Python file that `name` is a path to.

    Raises `UserError` for a name nobody knows, a file that isn't there, and a file without a `LAW`.
    """
    law = plugins.load(__name__, "LAW", name, "law").LAW
    if not isinstance(law, Law):
        raise UserError(f"{name} defines no Law: set LAW = Law(...) as analysis/laws/chinchilla.py does")
    return law
