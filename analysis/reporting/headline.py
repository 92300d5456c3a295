"""The top of the page: the answer, what speaks against it first, and the numbers to remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoflop.analysis.columns.metrics import LOSS
from isoflop.analysis.reporting.evidence import doubts, estimate_words, held_out
from isoflop.analysis.reporting.rounds import rounds_of
from isoflop.base.formatting import NONE, between, joined, number, power, short, upper

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData
    from isoflop.analysis.result import Interval, LawFit
    from isoflop.analysis.scores import HeldOutMinimum


@dataclass(frozen=True)
class Card:
    """One of the numbers under the headline."""

    label: str
    value: str
    detail: str


def headline(data: ReportData) -> str:
    """The answer with its intervals, plain text with ^ for powers; what speaks against it comes first."""
    against = doubts(data)
    if why := undetermined(data.fit):
        return " ".join(f"{upper(each)}." for each in (f"these {data.fit.n_runs} runs {why}", *against))
    answer = _answer(data)
    if against:
        return f"{upper('; '.join(against))}. As fitted, {answer}."
    held = held_out(data)
    return f"{upper(answer)}; {held.clause if held else 'no runs were held out to test it'}."


def undetermined(fit: LawFit) -> str:
    """Why runs give no answer; empty where they do."""
    if fit.trusted:
        return ""
    unknown = fit.unidentified
    verb = "is" if len(unknown) == 1 else "are"
    why = f"{joined(unknown)} {verb} not identified" if unknown else "the optimum is not certified"
    return f"do not determine the law: {why}"


def _answer(data: ReportData) -> str:
    fit = data.fit
    if fit.exponents["a"] is None:
        return f"{fit.law} gives no compute-optimal size"
    a, b = (_power(fit, name) for name in "ab")
    return f"compute-optimal size grows as {a} and data as {b}"


def _power(fit: LawFit, name: str) -> str:
    found = fit.exponent_estimates[name]
    span = between(found.interval, 2)
    return f"C^{number(found.value, 2)}" + ("" if span == NONE else f" {span}")


def subtitle(data: ReportData) -> str:
    """What it rests on."""
    low, high = data.fit.conventions.flops_range
    budgets = f" at {len(data.groups)} budget{'s' if len(data.groups) > 1 else ''}" if data.groups else ""
    notes = data.fit.conventions
    metric = "" if notes.metric == LOSS else f" What is called loss here is {notes.quantity}, {notes.unit}."
    spans = "" if data.fit.intervals is None else f" In brackets: {data.fit.intervals.level:.0%} intervals."
    compute = power(low) if power(low) == power(high) else f"{power(low)} to {power(high)}"
    return (
        f"{data.fit.n_runs} runs{budgets}, {compute} training FLOPs, "
        f"{short(data.table.N_R.min())} to {short(data.table.N_R.max())} parameters, "
        f"{short(data.table.D_R.min())} to {short(data.table.D_R.max())} tokens.{metric}{spans}"
    )


def cards(data: ReportData) -> list[Card]:
    """The numbers to remember, each with what it stands on."""
    exponents = _exponent(data, "a", "Optimal size, N ∝ Cᵃ"), _exponent(data, "b", "Optimal data, D ∝ Cᵇ")
    others = _held_out(data), _saving(data) or _irreducible(data)
    return [*exponents, *(card for card in others if card)]


def _exponent(data: ReportData, name: str, label: str) -> Card:
    """The fitted surface's exponent, and beside it what other methods make of it."""
    found = data.fit.exponent_estimates[name]
    doubt = "" if data.fit.trusted else "; the runs do not determine the law"
    others = []
    if (rounds := rounds_of(data.sweep.summary)) and rounds.target == name:
        others.append(f"the rounds {estimate_words(rounds)}")
    for approach, fit in ((2, data.parabolas), (1, data.envelope)):
        if fit is not None and fit.exponents[name] is not None:
            other = fit.exponent_estimates[name]
            span = between(other.interval, 2)
            others.append(f"approach {approach} {number(other.value, 2)} {span}".removesuffix(f" {NONE}"))
    beside = f"; by {', '.join(others)}" if others else ""
    detail = f"{_interval(data.fit, found.interval, 2)}, fitted surface{doubt}{beside}"
    return Card(label, f"{name} = {number(found.value, 2)}", detail)


def _interval(fit: LawFit, span: Interval, digits: int = 3) -> str:
    """An interval with its level."""
    return "no interval" if fit.intervals is None else f"{fit.intervals.level:.0%} {between(span, digits)}"


def _held_out(data: ReportData) -> Card | None:
    held = held_out(data)
    if held is None:
        return None
    best = data.held.holdout.optimum if data.held and data.held.holdout else None
    value = "not known" if held.inside is None else f"{held.inside} of {held.runs}"
    detail = upper(held.errors) + (f"; {_minimum(best)}" if best and best.error is not None else "")
    return Card(f"Held-out runs within their {held.level:.0%} intervals", value, detail)


def _minimum(best: HeldOutMinimum) -> str:
    """The held-out minimum against its prediction."""
    low, high = span = best.loss_opt_interval or (None, None)
    words = f"the minimum measured {best.loss_opt:.3f}, predicted {best.loss_opt_predicted:.3f}"
    if best.loss_opt is None or low is None or high is None:
        return words
    inside = low <= best.loss_opt <= high
    return f"{words} {between(span, 4)}: {'inside' if inside else 'outside'}"


def _saving(data: ReportData) -> Card | None:
    flops = data.sweep.summary.get("flops") or {}
    grid, fresh = flops.get("grid"), flops.get("fresh_cosine")
    if not grid or not fresh:
        return None
    return Card(
        "Cost of the grid",
        f"{grid / fresh:.0%} of fresh runs",
        f"{power(grid)} FLOPs spent on the grid; each run fresh, cosine: {power(fresh)}",
    )


def _irreducible(data: ReportData) -> Card | None:
    found = data.fit.parameter_estimates.get("E")
    if found is None:
        return None
    doubt = "; not identified" if found.identified is False else ""
    notes = data.table.conventions
    value = f"{number(found.value)}{notes.short_unit}"
    return Card(f"Irreducible {notes.quantity} E", value, f"{_interval(data.fit, found.interval)}{doubt}")
