"""The run table: one row a trained model, checked, with its counting conventions named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoflop.analysis.columns.aliases import Naming, combine
from isoflop.analysis.columns.counting import count_rows, numbers
from isoflop.analysis.columns.metrics import LOSS, OWN_LOSS, with_metric
from isoflop.analysis.conventions import Conventions
from isoflop.analysis.laws import Law, find_law
from isoflop.analysis.provenance import content_hash
from isoflop.analysis.sources import open_source
from isoflop.analysis.tables.cautions import ONE_KIND, cautions
from isoflop.analysis.tables.cells import one_line
from isoflop.analysis.tables.dependence import (
    cells,
    checkpoints,
    describe,
    lowest_of_each,
    rate_search,
    repeats,
)
from isoflop.analysis.tables.pooling import pool
from isoflop.analysis.tables.selecting import parse_columns, select
from isoflop.analysis.tables.statuses import counted_words, finished_rows, words_of
from isoflop.analysis.tables.twins import SUPERVISED, with_supervised_loss
from isoflop.base.display import Displayed, Summary, counted
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief

VARIED = (
    "n_tokens_unique", "experts", "experts_per_token", "granularity", "density", "sparsity", "router",
    "steps", "dtype", "bits", "bits_weights", "bits_activations", "bits_kv", "bits_post", "teacher_loss",
)  # fmt: skip
"""Columns of what laws take besides N and D: runs that differ in one are no search over learning rates."""
Readable = str | Path | pd.DataFrame
"""A file or folder, a `SCHEME:ADDRESS`, or a table in memory."""


@dataclass(frozen=True)
class Excluded:
    """A row left out of the fit. `row`: its number in the table, from 0."""

    row: int
    why: str


@dataclass(frozen=True, repr=False)
class RunTable(Displayed):
    """Runs that can be fitted, R of them, and what was left out.

    Arrays have one entry per usable run: `N_R` parameters and `C_R` training FLOPs under the conventions
    asked for, `D_R` training tokens, `loss_R` the held-out loss, nats per token, or another metric.
    """

    frame: pd.DataFrame
    """The usable rows with all their columns; the index is the row's number in the source."""
    N_R: np.ndarray
    D_R: np.ndarray
    C_R: np.ndarray
    loss_R: np.ndarray
    excluded: tuple[Excluded, ...]
    conventions: Conventions
    warnings: tuple[str, ...]
    source: str
    folder: Path | None = None
    rows: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    """Every row of the source, the excluded ones included."""
    naming: Naming = field(default_factory=Naming, repr=False)
    """How the source's columns were read."""
    sha256: str | None = None
    """Hash of the source's content: of its file where it is one, else of its rows."""
    best_of_each: bool = False
    """Whether only the run of lowest loss at each N and D was kept."""
    metric: str = LOSS
    """The column that `loss_R` is of."""
    target: str = LOSS
    """What the law predicts that it was loaded for."""
    sized: bool = True
    """Whether it has N and D; where it has not, N is 1 and D = C/6, or counts the rows."""

    def summary(self) -> Summary:
        """How many runs, and what they range over."""
        stated = self.conventions
        columns = (
            ("N", self.N_R, stated.count_meaning),
            ("D", self.D_R, "tokens"),
            ("C", self.C_R, stated.flops_meaning),
            (stated.quantity, self.loss_R, stated.loss),
        )
        columns = columns if self.sized else columns[-1:]
        rows = [(name, brief(x_R.min()), brief(x_R.max()), meaning) for name, x_R, meaning in columns]
        notes = [
            *counted(self.excluded, "row left out", ".excluded"),
            *counted(self.warnings, "warning", ".warnings"),
        ]
        return Summary(
            f"RunTable: {len(self)} runs of {self.source}", ("", "from", "to", "counts"), rows, notes
        )

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

    def measured(self, law: Law) -> RunTable:
        """The same runs with what the law predicts in the loss's place. Raises `UserError` where the table
        lacks it."""
        frame = with_metric(self.rows, law.target, self.source, self.naming.own, law.target)
        stated = self.conventions
        return _table(
            frame,
            stated.count,
            stated.flops,
            self.source,
            self.folder,
            self.naming,
            self.sha256,
            self.best_of_each,
            law.target,
            law.target,
            self.sized,
        )

    def counted(self, count: str, flops: str) -> RunTable:
        """The same runs under other counting conventions. Raises `UserError` where the table lacks them."""
        if (count, flops) == (self.conventions.count, self.conventions.flops):
            return self
        return _table(
            self.rows,
            count,
            flops,
            self.source,
            self.folder,
            self.naming,
            self.sha256,
            self.best_of_each,
            self.metric,
            self.target,
            self.sized,
        )


def load_runs(
    source: Readable | Sequence[Readable],
    *,
    columns: Mapping[str, str] | str | None = None,
    where: str | None = None,
    count: str = "non_embedding",
    flops: str = "exact",
    best_of_each: bool = False,
    metric: str = LOSS,
    law: str = "chinchilla",
) -> RunTable:
    """Read a run table, or several that agree.

    Args:
        source: a CSV, TSV, JSON, JSON Lines or Parquet file, a sweep's folder, runs in Weights & Biases
            (`wandb:entity/project[/group]`), a published table (`public:NAME`), one of
            the project's own (`measured:NAME`), or several of these.
        columns: `{new: old}` or `"new=old,..."`, to rename a foreign table's columns. Such a table needs
            `loss` and two of `n_params`, `n_tokens`, `flops`; the third follows from C = 6ND. What is absent
            is read from the column whose name is a usual one for it; `conventions.columns` says which.
        where: `"column=value,..."`: only these rows; also `!=`, `<`, `<=`, `>`, `>=`.
        count: `total`, `non_embedding`, `body` or `active`: which parameters N counts. A table with a plain
            `n_params` is taken as given.
        flops: `exact`: the table's own `flops`; `6nd`: 6 N D.
        best_of_each: only the run of lowest loss at each N and D, of a search over learning rates.
        metric: the column that is taken as the loss, in its own unit; of an accuracy the error, 1 less it.
        law: the law that is to be fitted: the metric is what it predicts, unless another is named (of an
            accuracy as it is, where the law predicts one), and the table needs of N and D what the law does.

    Raises:
        UserError: one line that names what is wrong and how to mend it.
    """
    items = [source] if isinstance(source, Readable) else _several(source)
    if not items:
        raise UserError("no table named: give a file or a sweep's folder")
    chosen = parse_columns(columns) if isinstance(columns, str) else columns
    wanted = find_law(law)
    metric = wanted.target if metric == LOSS else metric
    takes_loss = metric == LOSS or any(covariate.column == LOSS for covariate in wanted.covariates)
    sources = [open_source(item, chosen, takes_loss) for item in items]
    names = [each.name for each in sources]
    frame, notes = pool([each.frame for each in sources], names, [each.naming.own for each in sources])
    naming = combine(each.naming for each in sources)
    if any(covariate.column == SUPERVISED for covariate in wanted.covariates):
        frame = with_supervised_loss(frame)  # before rows are chosen: a twin may not be among them
    if where:
        rows = len(frame)
        frame = select(frame, where, ", ".join(names), naming.own)
        notes += (f"{len(frame)} of {rows} rows have {where}",)
    frame = with_metric(frame, metric, ", ".join(names), naming.own, wanted.target)
    naming = dataclasses.replace(naming, notes=notes + naming.notes)
    folder = sources[0].folder if len(sources) == 1 else None
    sha256 = content_hash([each.sha256 for each in sources])
    name, target, sized = ", ".join(names), wanted.target, wanted.sized
    return _table(frame, count, flops, name, folder, naming, sha256, best_of_each, metric, target, sized)


def table_of(frame: pd.DataFrame, *, count: str = "non_embedding", flops: str = "exact") -> RunTable:
    """A run table from a data frame already in memory; the rules are those of `load_runs`."""
    return load_runs(frame, count=count, flops=flops)


def _several(source: Any) -> list[Readable]:
    """The tables that are to be pooled. Raises `UserError` for what is no table and holds none."""
    items = list(source) if isinstance(source, Sequence) else [source]
    for item in items:
        if not isinstance(item, Readable):
            kind = type(item).__name__
            raise UserError(f"no runs in a value of type {kind}: give a file, a folder or a data frame")
    return items


def _table(
    frame: pd.DataFrame,
    count: str,
    flops: str,
    source: str,
    folder: Path | None,
    naming: Naming,
    sha256: str | None,
    best_of_each: bool,
    metric: str,
    target: str,
    sized: bool,
) -> RunTable:
    keep, excluded, unknown = _finished(frame)
    finished = frame.loc[keep]
    if finished.empty:
        words = counted_words(words_of(frame).value_counts())
        raise UserError(
            f"{source} has no finished run among {len(frame)} rows; their status: {words}. If one of these "
            "words means finished, choose it with --where status=WORD"
        )
    counted = count_rows(finished, count, flops, source, naming, metric, target, sized)
    if "budget" in finished.columns:
        finished = finished.assign(budget=numbers(finished, "budget", source, naming, may_be_empty=True))
    warnings = (
        *naming.notes,
        *unknown,
        *counted.warnings,
        *(cautions(finished, counted.D_R) if counted.sized else ()),
    )
    if excluded:
        words = counted_words(words_of(frame.loc[~keep]).value_counts())
        warnings += (f"{len(excluded)} of {len(frame)} rows are not finished and are left out ({words})",)
    table = RunTable(
        frame=finished,
        N_R=counted.N_R,
        D_R=counted.D_R,
        C_R=counted.C_R,
        loss_R=counted.loss_R,
        excluded=excluded,
        conventions=counted.conventions,
        warnings=warnings,
        source=source,
        folder=folder,
        rows=frame,
        naming=naming,
        sha256=sha256,
        best_of_each=best_of_each,
        metric=metric,
        target=target,
        sized=counted.sized,
    )
    if not counted.sized:
        return table
    return _by_run(_best(table) if best_of_each else table)


def _best(table: RunTable) -> RunTable:
    """The run of lowest loss at each N and D; the others are listed as excluded."""
    cell_R = _cells(table)
    own_R = table.column(OWN_LOSS)
    keep_R = lowest_of_each(cell_R, table.loss_R if own_R is None else own_R.astype(float))
    best = table.where(keep_R, "another run of the same N and D has a lower loss")
    note = f"the run of lowest loss at each N and D is kept: {len(best)} of {len(table)}"
    return dataclasses.replace(best, warnings=(*table.warnings, note))


def _cells(table: RunTable) -> np.ndarray:
    """The number of each run's (N, D) among runs of its kind."""
    shares = [name for name in table.frame.columns if str(name).partition("_")[0] == "share"]
    return cells(table.frame, table.N_R, table.D_R, (*ONE_KIND, *VARIED, *shares))


def _by_run(table: RunTable) -> RunTable:
    """The table with a trunk for each run that has several rows, and warnings on rows that depend."""
    warnings: tuple[str, ...] = ()
    if repeated := repeats(table.frame, table.loss_R):
        warnings += (
            f"{repeated} of {len(table)} rows repeat an earlier one in all that says what the run was: they "
            "are kept, but are no independent runs, and intervals come out too narrow",
        )
    found = checkpoints(table.frame, table.N_R, table.D_R)
    if found:
        table = dataclasses.replace(table, frame=table.frame.assign(trunk_id=found.run_R))
        warnings += describe(found, table.frame)
    cell_R = _cells(table)
    if searched := rate_search(cell_R, table.loss_R):
        warnings += (searched,)
    return dataclasses.replace(table, warnings=(*table.warnings, *warnings))


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
