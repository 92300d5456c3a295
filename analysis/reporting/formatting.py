"""Numbers and words of the report, as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isoflop.analysis.result import Interval

NONE = "–"


def number(x: float | None, digits: int = 3) -> str:
    """Significant digits, trailing zeros kept: intervals line up. A dash for None and NaN."""
    if x is None or not math.isfinite(x):
        return NONE
    if x == 0:
        return "0"
    size = math.floor(math.log10(abs(x)))
    if -4 <= size < digits + 2:
        return f"{x:.{max(digits - 1 - size, 0)}f}".replace("-", "−")
    return f"{x:.{digits - 1}e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-").replace("-", "−")


def between(span: Interval | None, digits: int = 3) -> str:
    """`[low, high]`, or a dash where an end is not known."""
    return NONE if span is None or None in span else opened(span, lambda x: number(x, digits))


def opened(span: Interval | None, shown: Callable[[float], str]) -> str:
    """`[low, high]` with an end that nothing bounds as `open`; a dash for no interval at all."""
    if span is None or span == (None, None):
        return NONE
    low, high = ("open" if end is None else shown(end) for end in span)
    return f"[{low}, {high}]"


def joined(parts: Sequence[str]) -> str:
    """`one, two and three`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def upper(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def signed(x: float | None, digits: int = 4) -> str:
    """Fixed decimals with a sign; a dash for None."""
    return NONE if x is None else f"{x:+.{digits}f}".replace("-", "−")


def fixed(x: float | None) -> str:
    """Four decimals; a dash for None."""
    return NONE if x is None else f"{x:.4f}"
