"""The registry of scaling laws: a law is one module here, or one file of the user's own.

A module `analysis/laws/NAME.py` holds one `Law` called `LAW`; nothing else needs to name it.
"""

from __future__ import annotations

import functools
import re

from isoflop.analysis.laws.law import Law
from isoflop.base import plugins
from isoflop.base.errors import UserError, perhaps

WITH_ARGUMENTS = re.compile(r"([\w-]+)\(([^()]*)\)")
__all__ = ["Law", "find_law", "known_laws", "unknown_law"]


def known_laws() -> tuple[str, ...]:
    """Names of the laws in this package, sorted."""
    return tuple(plugins.names(__name__, "LAW"))


@functools.cache
def find_law(name: str) -> Law:
    """The law called `name`, or the one in the Python file that `name` is a path to.

    Where a law's number of terms depends on the runs its module has `law_of`, and the name arguments for it:
    `mixture(web,code,books)`.

    Raises `UserError` for a name nobody knows, a file that isn't there, and a file without a `LAW`.
    """
    called = WITH_ARGUMENTS.fullmatch(name)
    plugin = plugins.load(__name__, "LAW", called[1] if called else name, "law", unknown_law)
    if called and not hasattr(plugin, "law_of"):
        raise UserError(f"{name}: {called[1]} takes nothing in parentheses")
    law = plugin.law_of(*(part.strip() for part in called[2].split(","))) if called else plugin.LAW
    if not isinstance(law, Law):
        raise UserError(f"{name} defines no Law: set LAW = Law(...) as analysis/laws/chinchilla.py does")
    return law


def unknown_law(name: str) -> UserError:
    """What a name is answered with that no law of a table of runs has: the nearest one, and all there are."""
    from isoflop.analysis.curves.laws import known_curve_laws  # here: it imports this package

    of_tables, of_curves = known_laws(), known_curve_laws()
    plain = name.replace("-", "_")
    if plain in of_curves:
        return UserError(
            f"{name} is a law of loss curves: isoflop fit --curves PATHS --law {plain}, isoflop predict FIT "
            "--schedule cosine"
        )
    if plain in of_tables:
        return UserError(f"{name} is a law of tables of runs: isoflop fit RUNS --law {plain}")
    meant = perhaps(plain, (*of_tables, *of_curves))
    return UserError(
        f"unknown law {name!r}{meant}: known are {', '.join(of_tables)}; of loss curves "
        f"{', '.join(of_curves)}; or name a .py file of your own"
    )
