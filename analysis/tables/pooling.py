"""Several tables as one, where they can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from isoflop.analysis.tables.cells import as_floats, as_texts, listed, one_line
from isoflop.analysis.tables.statuses import FINISHED, words_of
from isoflop.base.errors import UserError

COMPARABLE = ("dataset", "tokenizer", "vocab_size")
"""What has to agree for the losses of two tables to be comparable."""
SOURCE = "source"
"""The column that says which of several tables a row came from."""


def pool(
    frames: Sequence[pd.DataFrame], names: Sequence[str], own: Sequence[Sequence[str]]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One table, its rows numbered from 0 through all of `frames`, and notes on how it came about.

    `names`, `own`: what the tables are called, and their own columns. A cell that stands in several tables
    with the same loss is taken from the first of them. Raises `UserError` where the tables count parameters
    by different columns, measure another text, or give one cell two losses.
    """
    if len(frames) == 1:
        return frames[0].reset_index(drop=True), ()
    _agree(frames, names, own)
    pooled = pd.concat([frame.assign(**{SOURCE: name}) for frame, name in zip(frames, names, strict=True)])
    pooled = pooled.reset_index(drop=True)
    if "cell_id" not in pooled.columns or "loss" not in pooled.columns:
        return pooled, (f"{len(frames)} tables pooled",)
    known = pooled.loc[pooled["cell_id"].notna()]
    if "status" in known.columns:
        known = known.loc[words_of(known).isin(FINISHED)]
    _refuse_two_losses(known)
    # Within a table a cell may have a row for each of several values of an axis: those stay.
    table_R = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])[known.index]
    first_R = pd.Series(table_R).groupby(as_texts(known, "cell_id").to_numpy()).transform("min")
    repeated = known.index[table_R > first_R.to_numpy()]
    note = f"{len(frames)} tables pooled, {len(repeated)} repeated cells taken once"
    return pooled.drop(index=repeated), (note,)


def _refuse_two_losses(known: pd.DataFrame) -> None:
    stated = pd.DataFrame(
        {"cell_id": as_texts(known, "cell_id"), "loss": as_floats(known, "loss"), SOURCE: known[SOURCE]}
    )
    distinct = stated.loc[~stated.duplicated(subset=["cell_id", "loss"])]
    several = distinct.loc[distinct["cell_id"].duplicated(keep=False)]
    if len(several):
        cell = several["cell_id"].iloc[0]
        tables = np.unique(stated.loc[stated["cell_id"] == cell, SOURCE])
        raise UserError(f"cell {one_line(cell, 40)} has two losses in {' and '.join(tables)}: drop one table")


def _agree(frames: Sequence[pd.DataFrame], names: Sequence[str], own: Sequence[Sequence[str]]) -> None:
    for other, other_name, others in zip(frames[1:], names[1:], own[1:], strict=True):
        _same_measures(frames[0], names[0], other, other_name, others)
        _same_measures(other, other_name, frames[0], names[0], own[0])
        for column in COMPARABLE:
            if column not in frames[0].columns or column not in other.columns:
                continue
            here, there = (set(as_texts(frame, column).dropna()) for frame in (frames[0], other))
            if here and there and here != there:
                ours, theirs = (one_line(", ".join(sorted(values))) for values in (here, there))
                raise UserError(
                    f"{names[0]} and {other_name} differ in {column} ({ours} and {theirs}): their losses "
                    "cannot be pooled"
                )


def _same_measures(
    one: pd.DataFrame, name: str, other: pd.DataFrame, other_name: str, own: Sequence[str]
) -> None:
    measured = [column for column in one.columns if column in ("loss", "flops", "n_tokens")]
    measured += [column for column in one.columns if column.startswith("n_params")]
    absent = [column for column in measured if column not in other.columns]
    if absent:
        raise UserError(
            f"{other_name} has no {absent[0]} as {name} has: rename with --columns; it has {listed(own)}"
        )
