"""A table of the report before it is HTML, and the tables of a sweep's own: checks, costs, runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isoflop.base.formatting import NONE, fixed, power, short, signed

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

Cell = str | tuple[str, float]
"""What a cell shows, with the value that it sorts by where that is another."""


@dataclass(frozen=True)
class TextTable:
    """Cells under headers. `own`: rows to set in bold, the report's own choice; `folded`: shown closed, to be
    opened; `half`: narrow enough to stand beside another such table.
    """

    title: str
    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    own: frozenset[int] = frozenset()
    folded: bool = False
    half: bool = False


def counts(*values: float) -> tuple[Cell, ...]:
    """Cells of N, D and the like."""
    return tuple((short(value), float(value)) for value in values)


def flops(value: float) -> Cell:
    """A cell of training FLOPs."""
    return power(value), float(value)


CHECKS = {
    "fresh_cosine": "fresh run, cosine schedule",
    "fresh_cosine_double": "fresh run, cosine schedule, twice the learning rate",
    "rate_half": "half the rule's learning rate",
    "rate_double": "twice the rule's learning rate",
}


def checks_table(data: ReportData) -> TextTable:
    """Runs beside the grid, means over their seeds, each against the grid's own."""
    checks = data.sweep.checks
    rows = []
    if checks is not None and {"role", "loss", "flops"} <= set(checks.columns):
        at = [name for name in ("budget", "d_model") if name in checks.columns]
        for _, own in checks.groupby([*at, "role"], sort=False):
            check = own.iloc[0].to_dict() | {"loss": own["loss"].mean()}
            grid = _grid_loss(data, check)
            rows.append((
                flops(check.get("budget", check["flops"])),
                CHECKS.get(str(check["role"]), str(check["role"])),
                short(check.get("n_params_non_embedding", np.nan)), f"{check.get('lr', np.nan):.4g}",
                str(len(own)), fixed(check["loss"]), fixed(grid),
                signed(None if grid is None else check["loss"] - grid),
            ))  # fmt: skip
    return TextTable(
        "Checks at the minima of the smallest and the largest budget",
        "Runs outside the grid at its cells, means over seeds: what the shared trunk costs against a fresh "
        "run, and whether another learning rate would have done better.",
        ("budget", "check", "N", "learning rate", "seeds", "loss", "grid's loss", "difference"),
        tuple(rows),
    )


def rates_table(data: ReportData) -> TextTable:
    """The fitted best learning rate of each width and horizon, and how well it is known."""
    learning_rate = data.sweep.summary.get("learning_rate") or {}
    tuned = learning_rate.get("tuned") or {}
    rows = []
    for anchor in tuned.get("anchors") or ():
        factor = math.exp(1.96 * anchor["sd"])
        rows.append((
            str(anchor["d_model"]), (short(anchor["n_tokens"]), anchor["n_tokens"]), f"{anchor['lr']:.4g}",
            f"[{anchor['lr'] / factor:.4g}, {anchor['lr'] * factor:.4g}]", "yes" if anchor["at_edge"] else "",
        ))  # fmt: skip
    known = ""
    if tuned.get("curvature") is not None and tuned.get("noise") is not None:
        known = (
            f" A rate off by a factor e loses {tuned['curvature']:.3g} nats; a run's noise about the curves "
            f"is {tuned['noise']:.2g} nats."
        )
    return TextTable(
        "Best learning rates",
        f"By one fit to all tuning runs: {learning_rate.get('rule', '')}.{known}",
        ("width", "tokens", "best rate", "95% interval", "at the edge"),
        tuple(rows),
    )


def _grid_loss(data: ReportData, check: dict[Any, Any]) -> float | None:
    """Mean loss of the grid's own runs at the check's width and nearly its FLOPs."""
    frame = data.table.frame
    if "d_model" not in frame.columns or not {"d_model", "flops"} <= set(check):
        return None
    near = (frame["d_model"] == check["d_model"]) & (np.abs(np.log(frame["flops"] / check["flops"])) < 0.05)
    return float(frame.loc[near, "loss"].mean()) if near.any() else None


COSTS = {
    "grid": "the grid, on shared trunks", "tuning": "learning-rate tuning", "checks": "checks",
    "total": "spent in all", "fresh_cosine": "the grid as fresh cosine runs (not run)",
}  # fmt: skip


def cost_table(data: ReportData) -> TextTable:
    """What the sweep spent."""
    spent = data.sweep.summary.get("flops") or {}
    fresh = spent.get("fresh_cosine")
    rows = tuple(
        (name, flops(spent[key]), f"{spent[key] / fresh:.0%}" if fresh else NONE)
        for key, name in COSTS.items()
        if spent.get(key)
    )
    headers = ("for", "FLOPs", "of fresh runs")
    return TextTable("Compute spent", "Training FLOPs by the exact ledger.", headers, rows, half=True)


def stages_table(data: ReportData) -> TextTable:
    """How long each stage of the sweep took."""
    stages = data.sweep.summary.get("stages") or []
    rows = [(str(stage["name"]), f"{stage['seconds']:.1f}") for stage in stages]
    if rows:
        rows.append(("in all", f"{sum(stage['seconds'] for stage in stages):.1f}"))
    device = data.sweep.summary.get("device")
    where = f"Wall clock on {device}." if isinstance(device, str) else "Wall clock."
    return TextTable("Seconds per stage", where, ("stage", "seconds"), tuple(rows), half=True)


def runs_table(data: ReportData) -> TextTable:
    """Every run of the fit."""
    table = data.table
    columns = ("cell_id", "init_seed", "d_model", "n_layers", "lr", "steps", "schedule")
    extra = [name for name in columns if table.column(name) is not None]
    residual_R = table.loss_R - data.fit.predict(table.N_R, table.D_R)
    rows = tuple(
        (
            (str(table.frame.index[r]), float(r)),
            *(f"{x:.4g}" if isinstance(x, float) else str(x) for x in (record[name] for name in extra)),
            *counts(table.N_R[r], table.D_R[r]), flops(table.C_R[r]), fixed(table.loss_R[r]),
            signed(residual_R[r]),
        )
        for r, record in enumerate(table.frame.loc[:, extra].to_dict("records"))
    )  # fmt: skip
    headers = ("row", *extra, "N", "D", "C", "loss", "loss − fit")
    return TextTable("Runs", "Every run in the fit. Click a heading to sort.", headers, rows, folded=True)


def excluded_table(data: ReportData) -> TextTable:
    """Every row that no fit saw."""
    rows = tuple((str(item.row), item.why) for item in data.fit.excluded)
    return TextTable("Rows left out", "Rows of the table that no fit saw.", ("row", "why"), rows, folded=True)
