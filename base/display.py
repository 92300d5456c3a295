"""How values look where they are printed: a title, a small table, notes; as text and as HTML."""

from __future__ import annotations

import html
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from isoflop.base.formatting import pluralize

TEXT_ROWS, HTML_ROWS = 12, 40
"""A longer table is cut to as many rows, and says so."""
WARNINGS = 3
"""As many are shown in full."""


@dataclass(frozen=True)
class Summary:
    """A title, rows under headers, and sentences below."""

    title: str
    headers: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    notes: Sequence[str] = ()

    def text(self, most: int = TEXT_ROWS) -> str:
        """Lines for a terminal, with at most so many rows."""
        shown = [*([self.headers] if self.headers else []), *self.rows[:most]]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in shown]
        return "\n".join([self.title, *lines, *(f"  {note}" for note in self._all_notes(most))])

    def markdown(self) -> str:
        """A heading, a table of all rows and a line a note, to be pasted into a paper or an issue."""

        def row(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        headers = self.headers or tuple("" for _ in next(iter(self.rows), ()))
        table = [row(headers), row(["---"] * len(headers)), *map(row, self.rows)] if headers else []
        parts = [f"**{self.title}**", "\n".join(table), *self.notes]
        return "\n\n".join(filter(None, parts))

    def html(self) -> str:
        """A table for a notebook, with all that is not ours escaped."""

        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        head = f"<thead>{row(self.headers, 'th')}</thead>" if self.headers else ""
        body = "".join(row(cells, "td") for cells in self.rows[:HTML_ROWS])
        table = f"<table>{head}<tbody>{body}</tbody></table>" if self.rows else ""
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self._all_notes(HTML_ROWS))
        return f"<div><b>{html.escape(self.title)}</b>{table}{notes}</div>"

    def _all_notes(self, most: int) -> list[str]:
        cut = len(self.rows) - most
        return [*([f"and {cut} rows more"] if cut > 0 else []), *self.notes]


class Displayed:
    """Gives a dataclass (of `repr=False`) a short repr and a table in notebooks."""

    @abstractmethod
    def summary(self) -> Summary:
        """What is shown of it."""

    def __repr__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def counted(items: Sequence[object], what: str, where: str) -> list[str]:
    """`2 warnings: see .warnings`, or nothing."""
    return [f"{pluralize(len(items), what)}: see {where}"] if items else []


def warning_lines(warnings: Sequence[str]) -> list[str]:
    """The first few in full, and how many there are besides."""
    lines = [f"warning: {text}" for text in warnings[:WARNINGS]]
    return [*lines, *counted(warnings[WARNINGS:], "further warning", ".warnings")]
