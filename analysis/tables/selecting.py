"""Which rows and columns the user asks for: `--where` and `--columns`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from isoflop.analysis.tables.cells import as_floats, as_texts, listed, one_line
from isoflop.analysis.tables.statuses import FINISHED, UNFINISHED, words_of
from isoflop.base.errors import UserError

TRUTHS = {
    "true": True, "yes": True, "t": True, "y": True, "on": True, "1": True, "1.0": True,
    "false": False, "no": False, "f": False, "n": False, "off": False, "0": False, "0.0": False,
}  # fmt: skip
COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip
FORM = "write column=value, as in dataset=c4 (or !=, <, <=, >, >=)"


def select(frame: pd.DataFrame, where: str, source: str, own: Sequence[str]) -> pd.DataFrame:
    """The rows that meet every condition of `"column=value,..."`, with their index.

    Numbers are compared as numbers, truth values as such (`outlier=no`), text exactly; `!=` keeps empty
    cells, `column!=` keeps those that are not empty. A value may stand in quotes. A status chosen by a word
    that says neither finished nor failed counts as finished.

    Raises `UserError` for a text of another form, a column that the table has not got (its `own` are listed),
    and values that no row has.
    """
    for item in _conditions(where):
        name, sign, value = _parts(item, frame, source, own)
        keep = _keep(frame, name, sign, value)
        if not keep.any():
            known = (
                ", ".join(one_line(each, 40) for each in as_texts(frame, name).dropna().unique()[:6])
                or "empty"
            )
            raise UserError(f"--where {name}{sign}{value}: no row of {source} has it; {name} is {known}")
        frame = frame.loc[keep]
        if sign == "=" and "status" in frame and as_texts(frame, name).equals(as_texts(frame, "status")):
            strange = ~words_of(frame).isin(FINISHED | UNFINISHED)
            frame = frame.assign(status=as_texts(frame, "status").mask(strange, "finished"))
    return frame


def _conditions(where: str) -> Iterator[str]:
    """The parts between commas that stand outside quotes."""
    quoted = re.findall(r"""(?:"[^"]*"|'[^']*'|[^,"'])+""", where)
    parts = quoted if ",".join(quoted).count(",") == where.count(",") else where.split(",")
    yield from (part.strip() for part in parts)


def _parts(item: str, frame: pd.DataFrame, source: str, own: Sequence[str]) -> tuple[str, str, str]:
    """Column, sign and value of one condition; a column's name may itself hold signs."""
    for name in sorted(frame.columns, key=len, reverse=True):
        rest = item[len(name) :].lstrip()
        if name and item.startswith(name) and (found := re.match(r"(!=|<=|>=|=|<|>)(.*)$", rest)):
            return _checked(item, name, found[1], found[2])
    found = re.match(r"(.+?)(!=|<=|>=|=|<|>)(.*)$", item)
    if not found:
        raise UserError(f"--where {item!r}: {FORM}")
    name, _, _ = _checked(item, *found.groups())
    raise UserError(f"--where {name}: {source} has no such column; it has {listed(own)}")


def _checked(item: str, name: str, sign: str, value: str) -> tuple[str, str, str]:
    value = value.strip()
    if not value and sign != "!=":
        raise UserError(f"--where {item!r}: {FORM}")
    if sign in COMPARED and np.isnan(_number(value)):
        raise UserError(f"--where {item!r}: {value!r} is no number to compare with")
    in_quotes = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return name.strip(), sign, value[1:-1] if in_quotes else value


def _keep(frame: pd.DataFrame, name: str, sign: str, value: str) -> np.ndarray:
    if sign in COMPARED:
        return COMPARED[sign](as_floats(frame, name), _number(value))
    text = as_texts(frame, name).str.strip()
    empty = (text.isna() | (text == "")).to_numpy(bool)
    if not value:
        return ~empty
    same = _truths_alike(text[~empty], value)
    if same is None:
        same = (text == value).to_numpy(bool)
        if not np.isnan(number := _number(value)):
            same = same | (as_floats(frame, name) == number)
    else:
        same = pd.Series(same, text.index[~empty]).reindex(text.index, fill_value=False).to_numpy(bool)
    return ~same if sign == "!=" else same


def _truths_alike(text: pd.Series, value: str) -> np.ndarray | None:
    """Whether each cell has the truth value asked for; None where the column or the value holds none."""
    wanted = TRUTHS.get(value.lower())
    cells = text.str.lower()
    if wanted is None or cells.empty or not set(cells) <= set(TRUTHS):
        return None
    return (cells.map(TRUTHS) == wanted).to_numpy(bool)


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")


def parse_columns(text: str | None) -> dict[str, str]:
    """`"loss=val_loss,n_params=N"` -> `{"loss": "val_loss", "n_params": "N"}`."""
    pairs: dict[str, str] = {}
    for item in (text or "").split(","):
        if not item.strip():
            continue
        new, equals, old = (part.strip() for part in item.partition("="))
        if not (new and equals and old):
            raise UserError(f"--columns {item.strip()!r}: write new=old, as in loss=val_loss,n_params=N")
        pairs[new] = old
    return pairs
