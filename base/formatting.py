"""Values as text: exact for configs, brief for a terminal, aligned and typeset for a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

NONE = "–"
"""What a page shows where there is no number."""
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def compact(value: Any) -> str:
    """An exact value in few characters: 1e+11 for 100000000000.0, tuples and lists spelled out."""
    if isinstance(value, float):
        return next(
            (text for digits in range(6, 17) if float(text := f"{value:.{digits}g}") == value), str(value)
        )
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(compact, value))}]"
    return str(value)


def brief(value: float | None) -> str:
    """Four significant digits in plain characters, for a terminal; `-` for None and NaN."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def short(x: float) -> str:
    """Three significant digits of a count, for a page or a figure: 12.3k, 4.5M, 70B."""
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= size * 0.9995:
            return f"{x / size:.3g}{suffix}"
    return f"{x:.3g}"


def power(x: float) -> str:
    """Two significant digits of FLOPs, for a page or a figure: 1.3×10¹²."""
    exponent = int(f"{x:.1e}".partition("e")[2])
    mantissa = f"{x / 10.0**exponent:.2g}"
    tens = "10" + str(exponent).translate(SUPERSCRIPT)
    return tens if mantissa == "1" else f"{mantissa}×{tens}"


def number(x: float | None, digits: int = 3) -> str:
    """Significant digits for a page, trailing zeros kept: intervals line up. A dash for None and NaN."""
    if x is None or not math.isfinite(x):
        return NONE
    if x == 0:
        return "0"
    size = math.floor(math.log10(abs(x)))
    if -4 <= size < digits + 2:
        return f"{x:.{max(digits - 1 - size, 0)}f}".replace("-", "−")
    return f"{x:.{digits - 1}e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-").replace("-", "−")


def fixed(x: float | None) -> str:
    """Four decimals for a page; a dash for None."""
    return NONE if x is None else f"{x:.4f}"


def signed(x: float | None, digits: int = 4) -> str:
    """Fixed decimals with a sign, for a page; a dash for None."""
    return NONE if x is None else f"{x:+.{digits}f}".replace("-", "−")


def pluralize(count: float, noun: str, form: str = ",") -> str:
    """A count and its noun, `1 run` or `2 runs`; `form`: how the number is written."""
    text = f"{count:{form}}"
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def interval(
    span: Sequence[float | None] | None, shown: Callable[[float], str] = brief, none: str = ""
) -> str:
    """`[low, high]` with an end that nothing bounds as `open`; `none` where both are."""
    if span is None or (span[0] is None and span[1] is None):
        return none
    low, high = ("open" if end is None else shown(end) for end in span)
    return f"[{low}, {high}]"


def between(span: Sequence[float | None] | None, digits: int = 3) -> str:
    """`[low, high]` for a page; a dash where an end is not known."""
    return NONE if span is None or None in span else interval(span, lambda x: number(x, digits))


def joined(parts: Sequence[str]) -> str:
    """`one, two and three`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def upper(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def format_seconds(seconds: float) -> str:
    """A time for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 360_000:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:,.0f} days"
