"""A table of the report, before it is HTML."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """Cells are text; one that sorts by another value than it shows is a pair (text, value)."""

    title: str
    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str | tuple[str, float], ...], ...]
    own: frozenset[int] = frozenset()
    """Rows to set in bold: the report's own choice."""
    folded: bool = False
    """Shown closed, to be opened."""
