"""Several tables as one, where they can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.errors import UserError
from analysis.readers import listed

COMPARABLE = ("dataset", "tokenizer", "vocab_size")
"""What has to agree for the losses of two tables to be comparable."""


def pool(frames: Sequence[pd.DataFrame], names: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One table with fresh row numbers, and notes on how it came about.

    A cell that stands in several tables with the same loss is taken once. Raises `UserError` where the tables
    count parameters by different columns, measure another text, or give one cell two losses.
    """
    if len(frames) == 1:
        return frames[0].reset_index(drop=True), ()
    _agree(frames, names)
    pooled = pd.concat([frame.assign(source=name) for frame, name in zip(frames, names, strict=True)])
    pooled = pooled.reset_index(drop=True)
    if "cell_id" not in pooled.columns:
        return pooled, (f"{len(frames)} tables pooled",)
    known = pooled.loc[pooled["cell_id"].notna()]
    if "status" in known.columns:
        known = known.loc[known["status"] == "finished"]
    for cell, group in known.groupby("cell_id"):
        if len(np.unique(group["loss"])) > 1:
            raise UserError(
                f"cell {cell} has two losses in {' and '.join(np.unique(group['source']))}: drop one table"
            )
    repeated = known.index[known.duplicated(subset=["cell_id"])]
    note = f"{len(frames)} tables pooled, {len(repeated)} repeated cells taken once"
    return pooled.drop(index=repeated).reset_index(drop=True), (note,)


def _agree(frames: Sequence[pd.DataFrame], names: Sequence[str]) -> None:
    first, name = frames[0], names[0]
    measured = [column for column in first.columns if column in ("loss", "flops") or column.startswith("n_")]
    for other, other_name in zip(frames[1:], names[1:], strict=True):
        absent = [column for column in measured if column not in other.columns]
        if absent:
            raise UserError(
                f"{other_name} has no {absent[0]} as {name} has: rename with --columns; it has "
                f"{listed(other)}"
            )
        for column in COMPARABLE:
            if column not in first.columns or column not in other.columns:
                continue
            here, there = (set(frame[column].dropna().astype(str)) for frame in (first, other))
            if here and there and here != there:
                raise UserError(
                    f"{name} and {other_name} differ in {column} ({', '.join(sorted(here))} and "
                    f"{', '.join(sorted(there))}): their losses cannot be pooled"
                )
