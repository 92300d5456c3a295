"""Students and their keys: the instructor's roster, and the lab's `keys.csv`."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from isoflop.base.errors import UserError

COLUMNS = ("student", "key")
KEY_DIGITS = 8
MAX_STUDENTS = 100_000
"""Eight digits name a hundred million keys: with more students a guess would hit one in a thousand times."""
MAX_NAME = 200


def numbered(n: int) -> list[str]:
    """`student-001` and so on."""
    if not 1 <= n <= MAX_STUDENTS:
        raise UserError(f"--students {n}: must be from 1 to {MAX_STUDENTS:,}")
    return [f"student-{i:03}" for i in range(1, n + 1)]


def read_roster(path: Path) -> list[str]:
    """Names, one a line, or the first column of a CSV file; a first line `student` or `name` is a header.

    Raises `UserError` naming the line of an empty or a repeated name.
    """
    rows = [
        row[0] if row else ""
        for row in csv.reader(io.StringIO(_text(path, "write names into it, one a line")))
    ]
    skipped = 1 if rows and rows[0].strip().lower() in ("student", "name") else 0
    while rows and not rows[-1].strip():
        rows.pop()
    if len(rows) - skipped < 1:
        raise UserError(f"{path}: no names in it: write one a line")
    return _checked([row.strip() for row in rows[skipped:]], path, 1 + skipped)


def new_keys(names: Sequence[str]) -> dict[str, str]:
    """By student, a random key of eight digits that no other has."""
    taken: set[str] = set()
    keys = {}
    for name in names:
        while (key := f"{secrets.randbelow(10**KEY_DIGITS):0{KEY_DIGITS}}") in taken:
            pass
        taken.add(key)
        keys[name] = key
    return keys


def keys_text(keys: dict[str, str]) -> str:
    """The content of `keys.csv`."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([COLUMNS, *keys.items()])
    return out.getvalue()


def read_keys(path: Path) -> dict[str, str]:
    """By student, the key. Raises `UserError` naming the line that is wrong."""
    rows = list(csv.reader(io.StringIO(_text(path, "take it from a backup"))))
    if not rows or tuple(cell.strip() for cell in rows[0]) != COLUMNS:
        raise UserError(f"{path}: its first line must be {','.join(COLUMNS)}")
    rows = [row for row in rows[1:] if row]
    for number, row in enumerate(rows, 2):
        if len(row) != 2 or not (row[1].isascii() and row[1].isdigit() and len(row[1]) == KEY_DIGITS):
            raise UserError(f"{path}, line {number}: must be a name and a key of {KEY_DIGITS} digits")
    names = _checked([row[0].strip() for row in rows], path, 2)
    keys = [row[1] for row in rows]
    if twice := _first_repeated(keys):
        raise UserError(f"{path}, line {twice + 2}: that key is another student's too: give a new one")
    return dict(zip(names, keys, strict=True))


def _text(path: Path, mend: str) -> str:
    """A file's text; `mend`: what to do where there is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file: {mend}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is no UTF-8 text: save it as CSV in UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _checked(names: list[str], path: Path, first_line: int) -> list[str]:
    for number, name in enumerate(names, first_line):
        if not name:
            raise UserError(f"{path}, line {number}: the name is empty: write one, or delete the line")
        if len(name) > MAX_NAME or not name.isprintable():
            raise UserError(
                f"{path}, line {number}: a name is at most {MAX_NAME} printable characters; shorten or "
                f"retype {name[:40]!r}"
            )
    if twice := _first_repeated(names):
        raise UserError(
            f"{path}, line {twice + first_line}: {names[twice]!r} stands there twice: delete one, or tell "
            "them apart"
        )
    if len(names) > MAX_STUDENTS:
        raise UserError(
            f"{path}: {len(names):,} names; a lab has at most {MAX_STUDENTS:,} students: make two labs"
        )
    return names


def _first_repeated(values: Iterable[str]) -> int | None:
    """The place of the first value that stood there before; never the first place."""
    seen: set[str] = set()
    for place, value in enumerate(values):
        if value in seen:
            return place
        seen.add(value)
    return None
