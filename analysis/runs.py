"""The run table: one row a trained model, checked, with its counting conventions named."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoflop.analysis.counts import COUNTS, FLOPS, Counted, count_rows, numbers
from isoflop.analysis.pooling import pool, repeated_rows
from isoflop.analysis.provenance import content_hash, hash_of_rows
from isoflop.analysis.readers import tidy
from isoflop.analysis.sources import Naming, combine, name_columns, open_source
from isoflop.analysis.sources.units import key_of
from isoflop.analysis.tables.cells import as_floats, as_texts, one_line
from isoflop.analysis.tables.selecting import parse_columns, select
from isoflop.analysis.tables.statuses import counted_words, finished_rows, words_of
from isoflop.base.errors import UserError

ONE_KIND = ("schedule", "dataset", "tokenizer", "vocab_size", "context_length", "jax_version")
"""Columns that should hold one value in a table that is fitted as a whole."""
OWN = ("cell_id", "n_params_non_embedding", "n_params_body", "flops_6nd", "loss_stderr")
"""Columns by which a table is one of `isoflop`'s own sweeps: its loss is in nats per token."""
ONCE = 1.01
"""Tokens seen over distinct ones, up to which a run counts as one pass over its text."""
FLAGS = (
    "outlier",
    "outliers",
    "diverged",
    "failed",
    "crashed",
    "excluded",
    "exclude",
    "bad",
    "broken",
    "nan",
)
"""Keys of columns whose truth speaks against a row."""


@dataclass(frozen=True)
class Excluded:
    """A row left out of the fit. `row`: its number in the table, from 0."""

    row: int
    why: str


@dataclass(frozen=True)
class RunTable:
    """Runs that can be fitted, R of them, and what was left out.

    Arrays have one entry per usable run: `N_R` parameters and `C_R` training FLOPs under the conventions
    asked for, `D_R` training tokens, `loss_R` held-out nats per token.
    """

    frame: pd.DataFrame
    """The usable rows with all their columns; the index is the row's number in the source."""
    N_R: np.ndarray
    D_R: np.ndarray
    C_R: np.ndarray
    loss_R: np.ndarray
    excluded: tuple[Excluded, ...]
    conventions: dict[str, Any]
    warnings: tuple[str, ...]
    source: str
    folder: Path | None = None
    rows: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    """Every row of the source, the excluded ones included."""
    naming: Naming = field(default_factory=Naming, repr=False)
    """How the source's columns were read."""
    sha256: str | None = None
    """Hash of the source's content: of its file where it is one, else of its rows."""

    def __len__(self) -> int:
        return len(self.loss_R)

    def column(self, name: str) -> np.ndarray | None:
        """A column's values over the usable rows, or None where the table hasn't got it (or it is empty)."""
        if name not in self.frame.columns or bool(np.all(self.frame[name].isna())):
            return None
        return self.frame[name].to_numpy()

    @property
    def budget_R(self) -> np.ndarray | None:
        """Nominal C of each run's IsoFLOP, FLOPs by the table's own count; NaN for runs of other designs."""
        budget = self.column("budget")
        return None if budget is None else budget.astype(float)

    def where(self, keep_R: np.ndarray, why: str | None = None) -> RunTable:
        """The runs marked True; the others are listed as excluded if `why` is given."""
        dropped = () if why is None else tuple(Excluded(int(i), why) for i in self.frame.index[~keep_R])
        return dataclasses.replace(
            self,
            frame=self.frame.loc[keep_R],
            N_R=self.N_R[keep_R],
            D_R=self.D_R[keep_R],
            C_R=self.C_R[keep_R],
            loss_R=self.loss_R[keep_R],
            excluded=self.excluded + dropped,
        )

    def counted(self, count: str, flops: str) -> RunTable:
        """The same runs under other counting conventions. Raises `UserError` where the table lacks them."""
        if (count, flops) == (self.conventions["count"], self.conventions["flops"]):
            return self
        table = _table(self.rows, count, flops, self.source, self.folder, self.naming)
        return dataclasses.replace(table, sha256=self.sha256)


def load_runs(
    source: str | Path | Sequence[str | Path],
    *,
    columns: Mapping[str, str] | str | None = None,
    where: str | None = None,
    count: str = "non_embedding",
    flops: str = "exact",
) -> RunTable:
    """Read a run table, or several that agree.

    Args:
        source: a CSV, TSV, JSON, JSON Lines or Parquet file, a sweep's folder, runs in Weights & Biases
            (`wandb:entity/project[/group]`), a published table (`public:NAME`), or several of these.
        columns: `{new: old}` or `"new=old,..."`, to rename a foreign table's columns. Such a table needs
            `loss` and two of `n_params`, `n_tokens`, `flops`; the third follows from C = 6ND. What is absent
            is read from the column whose name is a usual one for it; `conventions["columns"]` says which.
        where: `"column=value,..."`: only these rows.
        count: `total`, `non_embedding` or `body`: which parameters N counts. A table with a plain
            `n_params` is taken as given.
        flops: `exact`: the table's own `flops`; `6nd`: 6 N D.

    Raises:
        UserError: one line that names what is wrong and how to mend it.
    """
    items = [source] if isinstance(source, str | Path) else list(source)
    if not items:
        raise UserError("no table named: give a file or a sweep's folder")
    chosen = parse_columns(columns) if isinstance(columns, str) else columns
    sources = [open_source(item, chosen) for item in items]
    names = [each.name for each in sources]
    frame, notes = pool([each.frame for each in sources], names)
    naming = combine(each.naming for each in sources)
    if where:
        rows = len(frame)
        frame = select(frame, where, ", ".join(names))
        notes += (f"{len(frame)} of {rows} rows have {where}",)
    naming = dataclasses.replace(naming, notes=notes + naming.notes)
    folder = sources[0].folder if len(sources) == 1 else None
    table = _table(frame, count, flops, ", ".join(names), folder, naming)
    return dataclasses.replace(table, sha256=content_hash([each.sha256 for each in sources]))


def table_of(frame: pd.DataFrame, *, count: str = "non_embedding", flops: str = "exact") -> RunTable:
    """A run table from a data frame already in memory; the rules are those of `load_runs`."""
    named, naming = name_columns(tidy(frame, "a data frame"), None, "a data frame")
    table = _table(named, count, flops, "a data frame", None, naming)
    return dataclasses.replace(table, sha256=hash_of_rows(frame))


def _table(
    frame: pd.DataFrame, count: str, flops: str, source: str, folder: Path | None, naming: Naming
) -> RunTable:
    keep, excluded, warnings = _finished(frame)
    finished = frame.loc[keep]
    if finished.empty:
        words = counted_words(words_of(frame).value_counts())
        raise UserError(
            f"{source} has no finished run among {len(frame)} rows; their status: {words}. If one of these "
            "words means finished, choose it with --where status=WORD"
        )
    counted: Counted = count_rows(finished, count, flops, source)
    if "budget" in finished.columns:
        finished = finished.assign(budget=numbers(finished, "budget", source, may_be_empty=True))
    warnings = (*naming.notes, *warnings, *counted.warnings, *_mixtures(finished), *_repeats(finished))
    warnings += (*_epochs(finished, counted.D_R), *_flags(finished))
    if excluded:
        words = counted_words(words_of(frame.loc[~keep]).value_counts())
        warnings += (f"{len(excluded)} of {len(frame)} rows are not finished and are left out ({words})",)
    return RunTable(
        frame=finished,
        N_R=counted.N_R,
        D_R=counted.D_R,
        C_R=counted.C_R,
        loss_R=counted.loss_R,
        excluded=excluded,
        conventions=_conventions(counted, naming, finished),
        warnings=warnings,
        source=source,
        folder=folder,
        rows=frame,
        naming=naming,
    )


def _conventions(counted: Counted, naming: Naming, frame: pd.DataFrame) -> dict[str, Any]:
    """What N, C and the loss are: in the source's own words, or with the names that its columns have."""
    loss, unit = _loss_meaning(naming, frame)
    stated = {
        **counted.conventions,
        "loss": loss,
        "loss_unit": unit,
        "data": naming.meanings.get("data"),
        "columns": dict(naming.columns),
    }
    own = {
        "n_params": ("count_meaning", stated["count_as_given"]),
        "flops": ("flops_meaning", stated["flops_meaning"] != FLOPS["6nd"]),
    }
    for column, (meaning, applies) in own.items():
        if not applies:
            continue
        if column not in naming.columns:
            stated[meaning] = naming.meanings.get(meaning, stated[meaning])
        else:
            stated[meaning] += f" (its column {one_line(naming.columns[column], 60)!r})"
    return stated


def _loss_meaning(naming: Naming, frame: pd.DataFrame) -> tuple[str, str | None]:
    """What the loss is, and its unit: None where neither the source nor a column's name says so."""
    if "loss" in naming.columns:
        column = f"its column {one_line(naming.columns['loss'], 60)!r}"
        if naming.loss_unit:
            return f"{naming.loss_unit} ({column})", naming.loss_unit
        return f"the loss as the table gives it ({column})", None
    if "loss" in naming.meanings:
        said = re.search(r"nats per \w+", naming.meanings["loss"])
        return naming.meanings["loss"], said[0] if said else None
    if set(OWN) <= set(frame.columns):
        return "held-out cross-entropy, nats per token", "nats per token"
    return "the loss as the table gives it", None


def _finished(frame: pd.DataFrame) -> tuple[np.ndarray, tuple[Excluded, ...], tuple[str, ...]]:
    """Which rows are finished runs, the others with their status and reason, and warnings."""
    if "status" not in frame.columns:
        return np.ones(len(frame), dtype=bool), (), ()
    status = words_of(frame)
    keep, warnings = finished_rows(status)
    left_out = np.flatnonzero(~keep)
    reasons = frame["reason"].iloc[left_out].tolist() if "reason" in frame.columns else [None] * len(left_out)
    excluded = []
    for row, state, reason in zip(frame.index[left_out], status.iloc[left_out], reasons, strict=True):
        detail = f": {one_line(reason)}" if isinstance(reason, str) and reason.strip() else ""
        excluded.append(Excluded(int(row), f"status {one_line(state)}{detail}"))
    return keep, tuple(excluded), warnings


def _flags(frame: pd.DataFrame) -> tuple[str, ...]:
    """Columns such as `outlier` that mark rows of the fit."""
    warnings = []
    for name in frame.columns:
        if key_of(name).removeprefix("is").removeprefix("run") not in FLAGS:
            continue
        marked = as_texts(frame, name).str.strip().str.lower().isin(("true", "yes", "1", "1.0"))
        if 0 < (count := int(marked.sum())) < len(frame):
            warnings.append(
                f"{one_line(name)} is true in {count} of {len(frame)} rows of the fit: to leave them out, "
                f"--where '{one_line(name)}!=true'"
            )
    return tuple(warnings)


def _repeats(frame: pd.DataFrame) -> tuple[str, ...]:
    repeated = repeated_rows(frame)
    if not repeated:
        return ()
    return (
        f"{repeated} of {len(frame)} rows repeat an earlier row exactly: they are kept, but are no "
        "independent runs, and intervals come out too narrow",
    )


def _epochs(frame: pd.DataFrame, D_R: np.ndarray) -> tuple[str, ...]:
    if "n_tokens_unique" not in frame.columns:
        return ()
    unique_R = as_floats(frame, "n_tokens_unique")
    several = int(np.sum(unique_R < D_R / ONCE))
    if not several:
        return ()
    return (
        f"{several} of {len(frame)} runs see their text more than once: most laws know fresh tokens only",
    )


def _mixtures(frame: pd.DataFrame) -> tuple[str, ...]:
    warnings = []
    for name in ONE_KIND:
        if name not in frame.columns:
            continue
        if len(kinds := sorted(as_texts(frame, name).dropna().unique())) > 1:
            shown = one_line(", ".join(kinds[:4]))
            warnings.append(f"the table mixes {len(kinds)} kinds of {name} ({shown}) in one fit")
    return tuple(warnings)


__all__ = ["COUNTS", "Excluded", "RunTable", "load_runs", "table_of"]
