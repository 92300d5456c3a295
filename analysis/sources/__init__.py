"""Where a run table comes from: a file, a sweep's folder, Weights & Biases, a published or a measured table.

`SCHEME:ADDRESS` names what is no file: `wandb:entity/project[/group]`, `public:NAME`, `measured:NAME`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from isoflop.analysis.columns.aliases import Naming, name_columns
from isoflop.analysis.provenance import hash_of_file, hash_of_rows
from isoflop.analysis.sources.measured import place_of
from isoflop.analysis.tables.places import Part
from isoflop.analysis.tables.reading import locate, read_table, tidy
from isoflop.base.errors import UserError


@dataclass(frozen=True)
class Source:
    """One table under the run table's column names. `folder`: the sweep's, if it is one's table; `sha256`:
    the hash of its file, else of its rows.
    """

    name: str
    frame: pd.DataFrame
    naming: Naming
    sha256: str
    folder: Path | None = None


def open_source(
    item: str | Path | pd.DataFrame, columns: Mapping[str, str] | None = None, takes_loss: bool = True
) -> Source:
    """The table that `item` names, its columns renamed by `columns` (`{new: old}`) and by their usual names.

    `takes_loss`: whether one is to be read as the loss.

    Raises `UserError` for what can't be had, can't be read, or can't be understood.
    """
    if isinstance(item, pd.DataFrame):
        frame, naming = _read(item, columns, "a data frame", takes_loss)
        return Source("a data frame", frame.reset_index(drop=True), naming, hash_of_rows(item))
    name = str(item)
    if name.startswith("wandb:"):
        from isoflop.analysis.sources.wandb_runs import read_wandb, without_result

        rows = read_wandb(name.removeprefix("wandb:"))
        frame, naming = _read(rows, columns, name, takes_loss)
        return Source(name, without_result(frame), naming, hash_of_rows(rows))
    if name.startswith("public:"):
        from isoflop.analysis.sources.public import holds_curves, read_public

        if holds_curves(name.removeprefix("public:")):
            raise UserError(f"{name} holds loss curves, not runs: isoflop fit --curves {name}")
        rows, meanings = read_public(name.removeprefix("public:"))
        frame, naming = _read(rows, columns, name, takes_loss)
        return Source(name, frame, dataclasses.replace(naming, meanings=meanings), hash_of_rows(rows))
    path, folder = locate(place_of(name))
    frame, naming = name_columns(read_table(path), columns, str(path), takes_loss)
    naming = dataclasses.replace(naming, parts=(Part(name, frame.index, path),))
    return Source(name, frame, naming, hash_of_file(path), folder)


def _read(
    rows: pd.DataFrame, columns: Mapping[str, str] | None, name: str, takes_loss: bool
) -> tuple[pd.DataFrame, Naming]:
    """Rows of no file under the run table's names; messages place them by the frame's own index."""
    frame, naming = name_columns(tidy(rows, name), columns, name, takes_loss)
    return frame, dataclasses.replace(naming, parts=(Part(name, frame.index, labels=rows.index),))
