"""How many examples property tests try."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("ISOFLOP_EXAMPLES", "1"))
"""`make properties` tries so many times as many, and others in each run."""


def examples(count: int) -> int:
    """Examples that a test tries which tries `count` in `make test`."""
    return count * TIMES
