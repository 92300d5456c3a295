"""The report's tables of what is compared: laws, approaches, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isoflop.analysis.figures.style import CURVE_NAMES
from isoflop.analysis.reporting.tables import Cell, TextTable, flops
from isoflop.base.formatting import NONE, fixed, interval, joined, number, power, short, signed

if TYPE_CHECKING:
    from isoflop.analysis.comparison.competition import Competition, Contender
    from isoflop.analysis.isoflops.budget import Budget
    from isoflop.analysis.reporting.report_data import ReportData


UNDECIDED = "no difference from the best shown"


def competition_table(data: ReportData) -> TextTable:
    """Every contender, the least error first."""
    found = data.competition
    rows = found.rows if found else ()
    headers = (
        "law", "mean |error|", "over the best", "95% interval", "verdict", "bias", "worst",
        "at the minimum", "residual sd", "free", "runs",
    )  # fmt: skip
    own = frozenset(k for k, row in enumerate(rows) if row.name == data.fit.law)
    caption = _competition_caption(found) if found else ""
    return TextTable("Which law predicts best?", caption, headers, tuple(map(_contender, rows)), own)


def _contender(row: Contender) -> tuple[Cell, ...]:
    spread = row.residual_log_sd
    return (
        row.name.replace("_", " "), fixed(row.mean_abs_error),
        signed(row.excess) if row.excess else NONE, interval(row.interval, signed, NONE), _verdict(row),
        signed(row.bias), signed(row.worst),
        signed(row.optimum_error), NONE if spread is None else f"{spread:.2%}", str(row.parameters),
        str(row.n_scored),
    )  # fmt: skip


def _verdict(row: Contender) -> str:
    """What speaks against the fit, or between it and the best."""
    said = row.doubts
    if row.beyond_chance is not None:
        said.append(
            f"{'worse' if row.excess > 0 else 'better'} beyond chance" if row.beyond_chance else UNDECIDED
        )
    if row.scored_on == "envelope":
        said.append("on the envelope alone")
    return "; ".join(said)


def _competition_caption(found: Competition) -> str:
    least = ""
    if found.optimum_loss is not None and found.optimum_flops is not None:
        least = (
            f" At the minimum: the same for the least loss at {power(found.optimum_flops)} FLOPs, "
            f"{found.optimum_loss:.4f} by the {found.curve} through its runs."
        )
    missing = "".join(f" {name} could not take part: {why}." for name, why in found.left_out.items())
    return (
        f"Fitted to the {found.n_fit} runs below {power(found.c_min)} FLOPs, scored on the "
        f"{found.n_held_out} above; errors are measured less predicted. Over the best: "
        f"the mean |error| less that of {found.best} on the same runs, with an interval from resampling "
        f"{found.resampling} in pairs, the fits as they are.{_baselines(found)}{least}{missing}"
    )


BASELINES = {
    "nothing improves": "each size keeps its last loss (nothing improves)",
    "log-linear": "least squares of log loss on log N and log D (log-linear)",
    "kaplan compute": "a power law of compute alone, fitted to and scored on the envelope (kaplan compute)",
}


def _baselines(found: Competition) -> str:
    """What those of the baselines are that took part."""
    names = {row.name.replace("_", " ") for row in found.rows}
    there = [meaning for name, meaning in BASELINES.items() if name in names]
    return f" Baselines: {joined(there)}." if there else ""


def agreement_table(data: ReportData) -> TextTable:
    """The exponent a of approaches 1 and 2 against that of the surface."""
    rows = tuple(
        (
            f"approach {each.approach} less approach 3", number(each.exponent),
            number(each.surface_exponent), signed(each.difference, 3),
            interval(each.interval, lambda x: signed(x, 3), NONE),
            signed(each.explained, 3), number(each.p_beyond, 2), "yes" if each.agrees else "no",
        )
        for each in data.agreements
    )  # fmt: skip
    headers = ("exponent a", "its own", "surface", "difference", "95% interval", "explained", "p", "agree")
    return TextTable("Do the approaches agree?", agreement_words(data), headers, rows)


def agreement_words(data: ReportData) -> str:
    """The agreement of the approaches in a sentence or two."""
    if not data.agreements:
        return ""
    apart = [f"approach {each.approach}" for each in data.agreements if not each.agrees]
    verdict = (
        f"{' and '.join(apart)} and the fitted surface differ by more than it and the runs' noise explain."
        if apart
        else "They differ by no more than the fitted surface and the runs' noise make them."
    )
    first = data.agreements[0]
    return (
        f"{verdict} Intervals and p from {first.B} redraws of the whole table ({first.resampling}), each "
        "seen by all approaches; explained: what an approach's own method makes of the surface without "
        "noise."
    )


def minima_table(data: ReportData) -> TextTable:
    """Each budget's minimum, and how well its runs determine it."""
    budgets = data.parabolas.budgets if data.parabolas and data.parabolas.budgets else ()
    unbounded = any(b.n_interval is not None and None in b.n_interval for b in budgets)
    note = " An open end is one that the runs do not bound." if unbounded else ""
    headers = (
        "budget C", "N_opt", "95% interval", "D_opt", "D/N", "loss", "minimum", "centring", "width",
        "half-width", "bias of N", "runs",
    )  # fmt: skip
    caption = (
        f"Approach 2: minima of {CURVE_NAMES[data.options.curve]}. Centring: where the parabola's vertex "
        "lies among the sizes, 0 in the middle, ±1 at the ends. Width: largest over smallest size. "
        f"Half-width: the factor on N that costs 0.01{data.table.conventions.short_unit}. Bias: what the "
        f"same curve makes of the fitted surface without noise.{note}"
    )
    return TextTable("IsoFLOP minima", caption, headers, tuple(map(_minimum, budgets)))


def _minimum(b: Budget) -> tuple[Cell, ...]:
    return (
        flops(b.flops), short(b.n_opt) if b.n_opt else NONE, interval(b.n_interval, short, NONE),
        short(b.d_opt) if b.d_opt else NONE, short(b.d_opt / b.n_opt) if b.n_opt and b.d_opt else NONE,
        number(b.loss_opt, 4), _kind(b), signed(b.centring, 2), _factor(b.width), _factor(b.half_width),
        NONE if b.bias_percent is None else f"{signed(b.bias_percent, 1)}%", str(b.runs),
    )  # fmt: skip


def _kind(b: Budget) -> str:
    if b.interior:
        return "interior"
    return "at an edge" if b.convex else "none"


def _factor(log: float | None) -> str:
    return NONE if log is None else f"×{number(float(np.exp(min(log, 50.0))))}"
