"""The registry of curve laws: a law is one module here, or one file of the user's own.

A module `analysis/curves/laws/NAME.py` holds one `CurveLaw` called `LAW`; nothing else needs to name it.
"""

from __future__ import annotations

import functools

from isoflop.analysis.curves.law import CurveLaw
from isoflop.analysis.laws import unknown_law
from isoflop.base import plugins
from isoflop.base.errors import UserError

__all__ = ["CurveLaw", "find_curve_law", "known_curve_laws", "names_a_curve_law"]


def known_curve_laws() -> tuple[str, ...]:
    """Names of the curve laws in this package, sorted."""
    return tuple(plugins.names(__name__, "LAW"))


def names_a_curve_law(text: str) -> bool:
    """Whether it is a curve law's name, alone or with a set of constants after a colon: no path."""
    return text.partition(":")[0].replace("-", "_") in known_curve_laws()


@functools.cache
def find_curve_law(name: str) -> CurveLaw:
    """The curve law called `name`, or the one in the Python file that `name` is a path to.

    Raises `UserError` for a name nobody knows, a file that isn't there, and a file without a `LAW`.
    """
    law = plugins.load(__name__, "LAW", name, "curve law", unknown_law).LAW
    if not isinstance(law, CurveLaw):
        raise UserError(
            f"{name} defines no CurveLaw: set LAW = CurveLaw(...) as analysis/curves/laws/tissue.py does"
        )
    return law
