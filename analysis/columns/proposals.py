"""Columns that might be what a table lacks: too weak to act on, good enough to propose."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

import pandas as pd

from isoflop.analysis.columns.loss_units import split_loss_unit
from isoflop.analysis.columns.units import words_of
from isoflop.analysis.tables.cells import has_numbers, spelled_numbers

WORDS = {
    "loss": ("loss", "nll", "ce", "xent", "entropy", "likelihood", "objective", "value"),
    "flops": ("flops", "flop", "compute", "budget", "c"),
    "n_tokens": ("tokens", "token", "toks", "seen", "t", "d", "data"),
    "n_params": ("params", "param", "parameters", "size", "n"),
}
"""Words that make of a column with numbers a candidate, the best first."""
TRAINING = ("train", "training")


def proposal(frame: pd.DataFrame, own: Sequence[str], missing: Sequence[str], taken: Iterable[str]) -> str:
    """The `--columns` that would do, of the table's `own` columns that are not `taken`; `new=...` where none
    comes to mind. Of `n_params, n_tokens, flops` two are enough.
    """
    left = [name for name in own if name in frame.columns and name not in set(taken)]
    free = [name for name in left if has_numbers(frame, name)]
    found = {new: guess for new in missing if (guess := _guess(free, new)) is not None}
    if "n_params" in missing and "n_params" not in found:
        spelled = [name for name in left if _spells_counts(pd.Series(frame[name]))]
        found |= {"n_params": spelled[0]} if spelled else {}
    absent = [new for new in missing if new != "loss"]
    needed = len(absent) - 1  # the third follows
    chosen = [new for new in absent if new in found][:needed]
    chosen += [new for new in absent if new not in chosen][: needed - len(chosen)]
    pairs = [f"{new}={found.get(new, '...')}" for new in missing if new == "loss" or new in chosen]
    return f"--columns {shlex.quote(','.join(pairs)) if found else 'new=old,...'}"


def _guess(free: Sequence[str], new: str) -> str | None:
    ranked = [(rank, name) for name in free if (rank := _rank(name, new)) is not None]
    return min(ranked, key=lambda each: each[0])[1] if ranked else None


def _rank(name: str, new: str) -> int | None:
    """How likely the name is: 0 the most, None not at all."""
    words = words_of(name)
    places = [WORDS[new].index(word) for word in words if word in WORDS[new]]
    if new == "loss" and split_loss_unit(name).unit:
        places.append(0)
    if not places:
        return None
    return min(places) + (len(WORDS[new]) if set(words) & set(TRAINING) else 0)


def _spells_counts(cells: pd.Series) -> bool:
    """Whether every cell is text that spells a count, as `70M`."""
    texts = [cell for cell in cells if isinstance(cell, str)]
    return len(texts) == len(cells) and set(spelled_numbers(cells, True)[1]) == set(texts)
