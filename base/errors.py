"""The one error that a caller's mistake is answered with, and the name that was perhaps meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what was asked or in a table: one line that names the thing and the mend.

    The command line prints the message on stderr and ends with exit status 2.
    """


def perhaps(name: str, known: Iterable[str]) -> str:
    """` (perhaps chinchilla)`: the known name nearest to an unknown one; empty where none is near."""
    folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    return f" (perhaps {folded[near[0]]})" if near else ""
