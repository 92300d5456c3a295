"""What N and C mean in a table: the counting conventions, and the checks on every number that enters a
fit.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from isoflop.analysis.columns.aliases import Naming, has_counts
from isoflop.analysis.columns.metrics import LOSS, OWN_LOSS, Metric
from isoflop.analysis.columns.proposals import proposal
from isoflop.analysis.conventions import Conventions
from isoflop.analysis.options import COUNTS
from isoflop.analysis.tables.cells import as_floats, listed, one_line
from isoflop.analysis.tables.plausible import doubts
from isoflop.base.errors import UserError

OWN = ("cell_id", "n_params_non_embedding", "n_params_body", "flops_6nd", "loss_stderr")
"""Columns by which a table is one of `isoflop`'s own sweeps: its loss is in nats per token."""
FLOPS = {"exact": "the table's own training FLOPs", "6nd": "6 N D"}


def different_counts(frame: pd.DataFrame) -> tuple[str, ...]:
    """The counts that differ in a table: where all models are dense, `active` is `total`."""
    both = {"n_params_total", "n_params_active"} <= set(frame.columns)
    dense = not both or frame["n_params_total"].equals(frame["n_params_active"])
    return tuple(count for count in COUNTS if not (dense and count == "active"))


@dataclass(frozen=True)
class Counted:
    """N, D, C and loss of each finished row, checked positive and finite, and what they are."""

    N_R: np.ndarray
    D_R: np.ndarray
    C_R: np.ndarray
    loss_R: np.ndarray
    conventions: Conventions
    warnings: tuple[str, ...]
    sized: bool = True
    """Whether the table has N and D; else N is 1, and D = C/6 or counts the rows."""


def count_rows(
    frame: pd.DataFrame,
    count: str,
    flops: str,
    where: str,
    naming: Naming,
    metric: str = LOSS,
    target: str = LOSS,
    sized: bool = True,
) -> Counted:
    """N, D, C and loss under the conventions `count` and `flops`; the loss is the column `metric`'s, which
    the law calls `target`. `sized`: whether the law needs N and D.

    Raises `UserError` for an unknown convention, one that the table lacks, absent columns and bad values.
    """
    if count not in COUNTS:
        raise UserError(f"unknown count {count!r}: known are {', '.join(COUNTS)}")
    if flops not in FLOPS:
        raise UserError(f"unknown FLOPs convention {flops!r}: known are {', '.join(FLOPS)}")
    if not sized and "loss" in frame.columns and _sizes_absent(frame):
        return _unsized(frame, count, flops, where, naming, metric, target)
    own = f"n_params_{count}"
    if own not in frame.columns and (count != "non_embedding" or has_counts(frame)):
        _refuse_count(frame, count, where)
    _need(frame, own, where, naming)
    input_loss = _input_loss(naming, frame, metric, target)
    if metric != LOSS:
        naming = dataclasses.replace(naming, columns=naming.columns | {"loss": metric})
    loss_R = numbers(frame, "loss", where, naming)
    N_R, D_R, C_R, derived = _complete(frame, own, where, naming)
    warnings = []
    if derived:
        warnings.append(f"the table has no {derived}: it follows from C = 6ND")
    as_given = own not in frame.columns
    if as_given and derived != "n_params":
        warnings.append("the table has one parameter count, n_params: it is taken as given")
    own_flops = "flops" in frame.columns and derived != "flops"
    warnings += doubts(frame, N_R, D_R, C_R, loss_R, metric, target)
    count_meaning, flops_meaning = COUNTS[count], FLOPS["6nd"]
    if as_given:
        count_meaning = _meaning(naming, "n_params", "count_meaning", "n_params as the table gives it")
    if flops == "exact" and own_flops:
        flops_meaning = _meaning(naming, "flops", "flops_meaning", FLOPS["exact"])
    else:
        C_R = _follows(6.0, N_R, D_R, np.ones_like(D_R), where)
    loss, unit = _loss_meaning(naming, frame, metric, target)
    conventions = Conventions(
        count=count,
        count_meaning=count_meaning,
        count_as_given=as_given,
        flops=flops,
        flops_meaning=flops_meaning,
        derived_column=derived,
        metric=metric,
        target=target,
        loss=loss,
        loss_unit=unit,
        input_loss=input_loss[0],
        input_loss_unit=input_loss[1],
        data=naming.meanings.get("data"),
        columns=dict(naming.columns),
    )
    return Counted(N_R, D_R, C_R, loss_R, conventions, tuple(warnings))


def _meaning(naming: Naming, column: str, meaning: str, usual: str) -> str:
    """What a column that is taken as it is counts: by its own name, else as the source says."""
    if column in naming.columns:
        return f"{usual} (its column {one_line(naming.columns[column], 60)!r})"
    return naming.meanings.get(meaning, usual)


def _loss_meaning(naming: Naming, frame: pd.DataFrame, metric: str, target: str) -> tuple[str, str | None]:
    """What the loss is, and its unit: None where neither the source nor a column's name says so."""
    is_own = set(OWN) <= set(frame.columns)
    if metric != LOSS:
        return Metric(metric, target).meaning(is_own), Metric(metric, target).unit(is_own)
    if "loss" in naming.columns:
        column = f"its column {one_line(naming.columns['loss'], 60)!r}"
        if naming.loss_unit:
            return f"{naming.loss_unit} ({column})", naming.loss_unit
        return f"the loss as the table gives it ({column})", None
    if "loss" in naming.meanings:
        said = re.search(r"nats per \w+", naming.meanings["loss"])
        return naming.meanings["loss"], said[0] if said else None
    if is_own:
        return "held-out cross-entropy, nats per token", "nats per token"
    return "the loss as the table gives it", None


def _input_loss(
    naming: Naming, frame: pd.DataFrame, metric: str, target: str
) -> tuple[str, str | None] | tuple[None, None]:
    """The source's column of the loss, and its unit, where a metric is fitted in its place."""
    if metric == LOSS or OWN_LOSS not in frame.columns:
        return None, None
    return naming.columns.get("loss", "loss"), _loss_meaning(naming, frame, LOSS, target)[1]


def _sizes_absent(frame: pd.DataFrame) -> bool:
    """Whether N and D are neither there nor follow from two of N, D and C."""
    sizes = any(name in frame.columns for name in ("n_params", *(f"n_params_{count}" for count in COUNTS)))
    return sizes + ("n_tokens" in frame.columns) + ("flops" in frame.columns) < 2


def _unsized(
    frame: pd.DataFrame, count: str, flops: str, where: str, naming: Naming, metric: str, target: str
) -> Counted:
    """The rows of a table without N and D, for a law that takes neither."""
    input_loss = _input_loss(naming, frame, metric, target)
    if metric != LOSS:
        naming = dataclasses.replace(naming, columns=naming.columns | {"loss": metric})
    loss_R = numbers(frame, "loss", where, naming)
    # Where there is no C either, rows are told apart: equal N and D would make repeats of one run of them.
    has_flops = "flops" in frame.columns
    C_R = numbers(frame, "flops", where, naming) if has_flops else 6.0 * np.arange(1.0, len(frame) + 1.0)
    loss, unit = _loss_meaning(naming, frame, metric, target)
    conventions = Conventions(
        count=count,
        count_meaning="none: the table has no N",
        flops=flops,
        flops_meaning=_meaning(naming, "flops", "flops_meaning", FLOPS["exact"]) if has_flops else "none",
        metric=metric,
        target=target,
        loss=loss,
        loss_unit=unit,
        input_loss=input_loss[0],
        input_loss_unit=input_loss[1],
        data=naming.meanings.get("data"),
        columns=dict(naming.columns),
    )
    return Counted(np.ones_like(C_R), C_R / 6.0, C_R, loss_R, conventions, (), sized=False)


def _refuse_count(frame: pd.DataFrame, count: str, where: str) -> None:
    there = [name for name in COUNTS if f"n_params_{name}" in frame.columns]
    if there:
        raise UserError(f"{where} has no n_params_{count}: ask for --count {' or '.join(there)}")
    raise UserError(
        f"{where} has one parameter count, n_params, taken as given: --count {count} cannot be asked of it"
    )


def _need(frame: pd.DataFrame, own: str, where: str, naming: Naming) -> None:
    size = own if own in frame.columns else "n_params"
    have = {"n_params": size, "n_tokens": "n_tokens", "flops": "flops"}
    absent = [name for name, column in have.items() if column not in frame.columns]
    missing = [] if "loss" in frame.columns else ["loss"]
    missing += absent if len(absent) > 1 else []
    if missing:
        wanted = "loss and two of n_params, n_tokens, flops"
        choice = proposal(frame, naming.own, missing, naming.columns.values())
        raise UserError(
            f"{where} lacks {', '.join(missing)} (it needs {wanted}); it has {listed(naming.own)}. Choose "
            f"with {choice}"
        )


def _complete(
    frame: pd.DataFrame, own: str, where: str, naming: Naming
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str | None]:
    size = own if own in frame.columns else "n_params"
    if size not in frame.columns:
        D_R, C_R = numbers(frame, "n_tokens", where, naming), numbers(frame, "flops", where, naming)
        return _follows(1 / 6.0, np.ones_like(C_R), C_R, D_R, where), D_R, C_R, "n_params"
    N_R = numbers(frame, size, where, naming)
    if "n_tokens" not in frame.columns:
        C_R = numbers(frame, "flops", where, naming)
        return N_R, _follows(1 / 6.0, np.ones_like(C_R), C_R, N_R, where), C_R, "n_tokens"
    D_R = numbers(frame, "n_tokens", where, naming)
    if "flops" not in frame.columns:
        return N_R, D_R, _follows(6.0, N_R, D_R, np.ones_like(D_R), where), "flops"
    return N_R, D_R, numbers(frame, "flops", where, naming), None


def _follows(scale: float, x_R: np.ndarray, y_R: np.ndarray, z_R: np.ndarray, where: str) -> np.ndarray:
    """`scale` x y / z, which C = 6ND makes of the two columns that a table has."""
    with np.errstate(over="ignore", under="ignore"):
        values = scale * x_R * y_R / z_R
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(bad):
        raise UserError(
            f"{where}: C = 6ND leaves the range of numbers in usable row {bad[0]}: check the units"
        )
    return values


def numbers(
    frame: pd.DataFrame, name: str, where: str, naming: Naming, may_be_empty: bool = False
) -> np.ndarray:
    """The column as positive finite float64, NaN where it is empty and may be.

    Raises `UserError` that names the first offending row.
    """
    values = as_floats(frame, name)
    good = np.isfinite(values) & (values > 0)
    if may_be_empty:
        good |= frame[name].isna().to_numpy()
    bad = np.flatnonzero(~good)
    if len(bad):
        raise UserError(f"{where}: {_complaint(frame, name, values, bad, naming)}")
    return values


def _complaint(frame: pd.DataFrame, name: str, values: np.ndarray, bad: np.ndarray, naming: Naming) -> str:
    """What is wrong with the first bad row, where it stands, and the mend."""
    own = naming.columns.get(name, name)
    cells = frame[own] if own in frame.columns else frame[name]
    shown = one_line(cells.iloc[bad[0]], 40)
    more = f" (and {len(bad) - 1} more rows)" if len(bad) > 1 else ""
    place = naming.place(int(frame.index[bad[0]]))
    mend = "mend the row, or mark it with a status other than finished"
    if cells.iloc[bad].isna().all():
        mend = f"fill it in, or leave such rows out with --where '{own if own in frame.columns else name}!='"
    elif name == "loss" and np.all(values < 0):
        mend = "a log-likelihood is minus the loss: turn its sign"
    return f"{naming.column(name)} is {shown} in {place}{more}: it must be a positive number; {mend}"
