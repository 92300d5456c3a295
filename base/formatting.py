"""Numbers as text, for people."""

from __future__ import annotations

from typing import Any


def compact(value: Any) -> str:
    """A value in few characters and no digit less: 1e+11 for 100000000000.0, tuples and lists spelled out."""
    if isinstance(value, float):
        return next(
            (text for digits in range(6, 17) if float(text := f"{value:.{digits}g}") == value), str(value)
        )
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(compact, value))}]"
    return str(value)
