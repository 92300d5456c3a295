"""How a result is printed: one JSON object alone, or lines for a person, and warnings on stderr."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from rich.console import Console, RenderableType


class Result(Protocol):
    """What an analysis found."""

    @property
    def warnings(self) -> Sequence[str]:
        """What to keep in mind."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        ...


def print_result(
    found: Result, as_json: bool, lines: Iterable[RenderableType], soft_wrap: bool = False
) -> None:
    """Print a result as JSON or as `lines`, and its warnings and notes, if it has any, on stderr.

    `soft_wrap`: lines fit already.

    Lines are no rich markup: an interval such as `[open, 3]` would be taken for a tag, and left out.
    """
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        console = Console(highlight=False, markup=False)
        for line in lines:
            console.print(line, soft_wrap=soft_wrap)
    for warning in found.warnings:
        warn(warning)
    for note in getattr(found, "notes", ()):
        print(f"note: {note}", file=sys.stderr)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    print(f"warning: {text}", file=sys.stderr)


def wrapped(text: str) -> str:
    """A paragraph for a terminal of 80 columns; a path or a number is never broken."""
    return textwrap.fill(text, 80, break_long_words=False, break_on_hyphens=False)


def wrapped_under(head: str, text: str) -> str:
    """`head` and a paragraph beside it, indented by the head's width."""
    return textwrap.fill(
        text, 100, initial_indent=head, subsequent_indent=" " * len(head),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
