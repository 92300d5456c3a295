"""The report's tables, as text cells with a caption each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isoflop.analysis.figures.style import power, short
from isoflop.analysis.reporting.formatting import NONE, signed
from isoflop.analysis.reporting.law_tables import (
    approaches_table,
    conventions_table,
    fit_table,
    heldout_table,
    sensitivity_table,
)
from isoflop.analysis.reporting.rival_tables import agreement_table, competition_table, minima_table
from isoflop.analysis.reporting.rounds import methods_table, rounds_table
from isoflop.analysis.reporting.text_table import TextTable

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData


def tables(story: ReportData) -> list[TextTable]:
    """All tables that the story has rows for, in the page's order."""
    made = [
        rounds_table(story),
        methods_table(story),
        competition_table(story),
        agreement_table(story),
        minima_table(story),
        fit_table(story),
        conventions_table(story),
        approaches_table(story),
        sensitivity_table(story),
        heldout_table(story),
        _checks(story),
        _cost(story),
        _stages(story),
        _runs(story),
        _excluded(story),
    ]
    return [table for table in made if table.rows]


def _checks(story: ReportData) -> TextTable:
    checks, rows = story.sweep.checks, []
    names = {
        "fresh_cosine": "fresh run, cosine schedule",
        "fresh_cosine_double": "fresh run, cosine schedule, twice the learning rate",
        "rate_half": "half the rule's learning rate",
        "rate_double": "twice the rule's learning rate",
    }
    if checks is not None and "role" in checks.columns:
        for check in checks.to_dict("records"):
            twin = _twin(story, check)
            rows.append(
                (
                    names.get(str(check["role"]), str(check["role"])),
                    short(check.get("n_params_non_embedding", np.nan)),
                    f"{check.get('lr', np.nan):.4g}",
                    f"{check['loss']:.4f}",
                    NONE if twin is None else f"{twin:.4f}",
                    NONE if twin is None else signed(check["loss"] - twin),
                )
            )
    return TextTable(
        "Checks at the largest budget's minimum",
        "Runs outside the grid at one of its cells: what the shared trunk costs against a fresh run, "
        "and whether another "
        "learning rate would have done better.",
        ("check", "N", "learning rate", "loss", "grid's loss", "difference"),
        tuple(rows),
    )


def _twin(story: ReportData, check: dict) -> float | None:
    """Mean loss of the grid's own runs at the check's width and nearly its FLOPs."""
    frame = story.table.frame
    if "d_model" not in frame.columns or "d_model" not in check or "flops" not in check:
        return None
    near = (frame["d_model"] == check["d_model"]) & (np.abs(np.log(frame["flops"] / check["flops"])) < 0.05)
    return float(frame.loc[near, "loss"].mean()) if near.any() else None


def _cost(story: ReportData) -> TextTable:
    flops = story.sweep.summary.get("flops") or {}
    names = {
        "grid": "the grid, on shared trunks", "tuning": "learning-rate tuning", "checks": "checks",
        "total": "spent in all", "fresh_cosine": "the grid as fresh cosine runs (not run)",
    }  # fmt: skip
    fresh = flops.get("fresh_cosine")
    rows = [
        (name, power(flops[key]), f"{flops[key] / fresh:.0%}" if fresh else NONE)
        for key, name in names.items()
        if flops.get(key)
    ]
    return TextTable(
        "Compute spent", "Training FLOPs by the exact ledger.", ("for", "FLOPs", "of fresh runs"), tuple(rows)
    )


def _stages(story: ReportData) -> TextTable:
    stages = story.sweep.summary.get("stages") or []
    rows = [(str(stage["name"]), f"{stage['seconds']:.1f}") for stage in stages]
    if rows:
        rows.append(("in all", f"{sum(stage['seconds'] for stage in stages):.1f}"))
    device = story.sweep.summary.get("device")
    where = f"Wall clock on {device}." if isinstance(device, str) else "Wall clock."
    return TextTable("Seconds per stage", where, ("stage", "seconds"), tuple(rows))


def _runs(story: ReportData) -> TextTable:
    table = story.table
    fitted_R = story.fit.predict(table.N_R, table.D_R)
    extra = [
        name
        for name in ("cell_id", "init_seed", "d_model", "n_layers", "lr", "steps", "schedule")
        if table.column(name) is not None
    ]
    rows = []
    for r, record in enumerate(table.frame.loc[:, extra].to_dict("records")):
        rows.append(
            (
                (str(table.frame.index[r]), float(r)),
                *(_cell(record[name]) for name in extra),
                (short(table.N_R[r]), float(table.N_R[r])),
                (short(table.D_R[r]), float(table.D_R[r])),
                (power(table.C_R[r]), float(table.C_R[r])),
                f"{table.loss_R[r]:.4f}",
                signed(table.loss_R[r] - fitted_R[r]),
            )
        )
    headers = ("row", *extra, "N", "D", "C", "loss", "loss − fit")
    return TextTable(
        "Runs", "Every run in the fit. Click a heading to sort.", headers, tuple(rows), folded=True
    )


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _excluded(story: ReportData) -> TextTable:
    rows = tuple((str(item.row), item.why) for item in story.fit.excluded)
    return TextTable("Rows left out", "Rows of the table that no fit saw.", ("row", "why"), rows, folded=True)
