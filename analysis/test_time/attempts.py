"""Attempts at problems: how many samples each problem was given, and how many of them were right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from isoflop.analysis.tables.cells import as_floats, as_texts, listed, one_line
from isoflop.analysis.tables.reading import locate, read_table, rename, tidy
from isoflop.analysis.tables.selecting import TRUTHS, parse_columns, select
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief

COUNTS = ("problem", "n", "c")
SAMPLES = ("problem", "correct")
NEEDS = "it needs problem, n and c (one row a problem), or problem and correct (one row a sample)"


@dataclass(frozen=True, repr=False)
class Attempts(Displayed):
    """Counts of P problems: `n_P` samples of each, `c_P` of them right, whole numbers."""

    problems: tuple[str, ...]
    n_P: np.ndarray
    c_P: np.ndarray
    source: str = "a table in memory"

    def __post_init__(self) -> None:
        """Raises `UserError` for counts that are none, naming the first problem that has them."""
        names = dict(zip(self.problems, range(len(self.problems)), strict=True))
        if len(names) < len(self.problems):
            twice = next(name for i, name in enumerate(self.problems) if names[name] != i)
            raise UserError(
                f"{self.source}: problem {one_line(twice, 60)} has two rows of counts: add them up"
            )
        whole_P = (self.n_P == np.round(self.n_P)) & (self.c_P == np.round(self.c_P))
        bad = np.flatnonzero(~(whole_P & (self.n_P >= 1) & (self.c_P >= 0) & (self.c_P <= self.n_P)))
        if len(bad):
            i = int(bad[0])
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            raise UserError(
                f"{self.source}: problem {one_line(self.problems[i], 60)}{more} has c = {self.c_P[i]:g} "
                f"right of n = {self.n_P[i]:g} samples: both are whole, n at least 1 and c from 0 to n"
            )

    def __len__(self) -> int:
        return len(self.problems)

    @property
    def most_samples(self) -> int:
        """The largest k whose pass@k needs no model: the fewest samples that any problem has."""
        return int(self.n_P.min())

    def thinned(self, fraction: float, rng: np.random.Generator) -> Attempts:
        """As many counts if only this fraction of each problem's samples, drawn at random, had been taken."""
        n_P = np.maximum((self.n_P * fraction).astype(int), 1)
        c_P = rng.hypergeometric(self.c_P.astype(int), (self.n_P - self.c_P).astype(int), n_P)
        return Attempts(self.problems, n_P, c_P, self.source)

    def summary(self) -> Summary:
        """How many problems and samples, and how they came out."""
        rate_P = self.c_P / self.n_P
        rows = [
            ("samples a problem", brief(float(self.n_P.min())), brief(float(self.n_P.max()))),
            ("share right", brief(float(rate_P.min())), brief(float(rate_P.max()))),
        ]
        notes = [f"{np.mean(self.c_P == 0):.1%} of the problems have no right sample"]
        return Summary(f"Attempts: {len(self)} problems of {self.source}", ("", "from", "to"), rows, notes)


def load_attempts(
    source: str | Path | pd.DataFrame,
    *,
    columns: Mapping[str, str] | str | None = None,
    where: str | None = None,
) -> Attempts:
    """Read a table of attempts: counts, one row a problem, or samples, one row each.

    Args:
        source: a CSV, TSV, JSON, JSON Lines or Parquet file, or a data frame, with the columns `problem`, `n`
            and `c`, or `problem` and `correct` (1 or 0, true or false).
        columns: `{new: old}` or `"new=old,..."`, to rename columns, as in `problem=task_id`.
        where: `"column=value,..."`: only these rows.

    Raises:
        UserError: one line that names what is wrong and how to mend it.
    """
    return _counted(*_rows(source, columns, where))


def load_column(
    source: str | Path | pd.DataFrame,
    column: str,
    *,
    columns: Mapping[str, str] | str | None = None,
    where: str | None = None,
) -> np.ndarray:
    """A further column of a table that `load_attempts` reads, one number a problem, P.

    Raises `UserError` for a table with a row a sample, and one without the column.
    """
    frame, name = _rows(source, columns, where)
    if not set(COUNTS) <= set(frame.columns) or column not in frame.columns:
        raise UserError(
            f"{name} has no column {column} with a number a problem: it has {listed(list(frame.columns))}; "
            "isoflop evaluate DIR difficulty measures some"
        )
    value_P = as_floats(frame, column)
    if not np.isfinite(value_P).all():
        row = int(np.flatnonzero(~np.isfinite(value_P))[0])
        raise UserError(f"{name}: {column} is no number in row {row}: fill it in, or drop the row")
    return value_P


def _rows(
    source: str | Path | pd.DataFrame, columns: Mapping[str, str] | str | None, where: str | None
) -> tuple[pd.DataFrame, str]:
    """The rows that are asked for, and the table's name."""
    if isinstance(source, pd.DataFrame):
        name, frame = "the table", tidy(source, "the table")
    else:
        name, frame = str(source), read_table(locate(source)[0])
    chosen = parse_columns(columns) if isinstance(columns, str) else columns
    frame = rename(frame, chosen, name)
    if where:
        frame = select(frame, where, name, list(map(str, frame.columns)))
    return frame, name


def _counted(frame: pd.DataFrame, name: str) -> Attempts:
    """The counts of a table in either form."""
    if set(COUNTS) <= set(frame.columns):
        problems = _problems(frame, name)
        return Attempts(tuple(problems), as_floats(frame, "n"), as_floats(frame, "c"), name)
    if not set(SAMPLES) <= set(frame.columns):
        raise UserError(
            f"{name} is no table of attempts: {NEEDS}; it has {listed(list(frame.columns))}. Rename with "
            "--columns problem=...,n=...,c=..."
        )
    problems, right_S = _problems(frame, name), _truths(frame, name)
    names, member_S = np.unique(np.array(problems, dtype=str), return_inverse=True)
    n_P = np.bincount(member_S, minlength=len(names))
    return Attempts(tuple(map(str, names)), n_P, np.bincount(member_S, right_S, len(names)), name)


def _problems(frame: pd.DataFrame, name: str) -> list[str]:
    values = as_texts(frame, "problem").tolist()
    if None in values:
        raise UserError(f"{name}: row {values.index(None)} names no problem: fill it in, or drop it")
    return values


def _truths(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Whether each sample was right, as 0.0 and 1.0."""
    words = [TRUTHS.get(str(value).strip().lower()) for value in frame["correct"].tolist()]
    bad = [i for i, word in enumerate(words) if word is None]
    if bad:
        shown = one_line(frame["correct"].iloc[bad[0]], 40)
        raise UserError(
            f"{name}: correct is {shown} in row {bad[0]} (and {len(bad) - 1} more): it must be 1 or 0, true "
            "or false; a score between needs a threshold first"
        )
    return np.array(words, dtype=float)
