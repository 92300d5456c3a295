"""Delimited text as people's tools write it: separators, comments, spreadsheets' marks, decimal commas."""

from __future__ import annotations

import csv
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

SEPARATORS = ",;\t|"
DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?([eE][+-]?\d+)?")
THOUSANDS = re.compile(r"\d{1,3}(\.\d{3})+")


@dataclass(frozen=True)
class Layout:
    """A file's separator, and its lines without those that are no rows: comments, `sep=;`, the header once
    more. `numbers`: the line in the file, from 1, of each.
    """

    separator: str
    lines: tuple[str, ...]
    numbers: tuple[int, ...]


def read_delimited(path: Path, tabs: bool) -> pd.DataFrame:
    """The rows of a CSV or TSV file; `tabs`: its name says they are separated so."""
    found = layout(path.read_bytes(), tabs)
    frame = _parse(found)
    if found.separator == ",":
        return frame
    columns = {name: pd.Series(frame[name]) for name in frame.columns}
    european = {name: cells for name, own in columns.items() if (cells := _european(own)) is not None}
    if not european:
        return frame
    raw = _parse(found, dtype=str)
    for name in frame.columns.difference(list(european)):
        texts = raw[name].dropna().str.strip()
        if len(texts) and texts.map(lambda text: bool(THOUSANDS.fullmatch(text))).all():
            european[name] = raw[name].str.replace(".", "", regex=False).astype(float)
    return frame.assign(**european)


def line_numbers(path: Path, tabs: bool) -> list[int]:
    """The line, from 1 as an editor counts them, on which each row of the table begins."""
    found = layout(path.read_bytes(), tabs)
    reader = csv.reader(found.lines, delimiter=found.separator)
    starts, after = [], 0
    for record in reader:
        if record:
            starts.append(found.numbers[after])
        after = reader.line_num
    return starts[1:]


def layout(data: bytes, tabs: bool) -> Layout:
    """How a file is laid out. Raises `UnicodeDecodeError` for what is no text."""
    lines = _decoded(data).splitlines(keepends=True)
    skipped = _comments(lines)
    rest = [number for number in range(len(lines)) if number not in skipped and lines[number].strip()]
    separator = "\t" if tabs else ","
    if rest and (marked := re.fullmatch(r"\s*\"?sep=(.)\"?\s*", lines[rest[0]])):
        separator = marked[1]
        skipped.add(rest[0])
    elif rest:
        header = lines[rest[0]]
        separator = _separator(header, tabs)
        skipped |= {number for number in rest[1:] if lines[number].strip() == header.strip()}
    kept = [number for number in range(len(lines)) if number not in skipped]
    return Layout(separator, tuple(lines[k] for k in kept), tuple(k + 1 for k in kept))


def _parse(found: Layout, dtype: type | None = None) -> pd.DataFrame:
    with warnings.catch_warnings():
        # Rows longer than the header are an error: pandas would shift or cut them.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            io.StringIO("".join(found.lines)),
            sep=found.separator,
            index_col=False,
            low_memory=False,
            dtype=dtype,
        )


def _decoded(data: bytes) -> str:
    """Text in UTF-8, in UTF-16 with its mark, or in the encoding of a Western Windows."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in data:
            raise
        return data.decode("cp1252", errors="replace")


def _comments(lines: list[str]) -> set[int]:
    """Lines that begin with #, but for a header that does: it stands before a first row of numbers."""
    marked = [number for number, line in enumerate(lines) if line.lstrip().startswith("#")]
    rows = [number for number, line in enumerate(lines) if line.strip()]
    if not marked or 2 * len(marked) > len(rows):
        return set()
    first = next(number for number in rows if number not in marked)
    if first - 1 in marked and _is_numeric(lines[first]):
        lines[first - 1] = lines[first - 1].lstrip("# \t")
        marked.remove(first - 1)
    return set(marked)


def _is_numeric(line: str) -> bool:
    return not re.search(r"[A-DF-Za-df-z]", line)


def _separator(header: str, tabs: bool) -> str:
    """The separator that stands most often in the header, outside quotes; on a draw what the name says."""
    bare = re.sub(r'"[^"]*"', "", header)
    likely = "\t" if tabs else ","
    best = max(SEPARATORS, key=lambda sign: (bare.count(sign), sign == likely))
    return best if best in bare else likely


def _european(cells: pd.Series) -> pd.Series | None:
    """The column's numbers where it is text with decimal commas; None where it is not."""
    if pd.api.types.is_numeric_dtype(cells):
        return None
    texts = cells.dropna().astype(str).str.strip()
    if not texts.str.contains(",", regex=False).any():
        return None
    if not texts.map(lambda text: bool(DECIMAL_COMMA.fullmatch(text))).all():
        return None
    plain = texts.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    return plain.astype(float).reindex(cells.index)
