"""The report's tables of the law: its parameters, what moves them, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isoflop.analysis.reporting.tables import TextTable, counts, flops
from isoflop.base.formatting import NONE, between, fixed, number, power, signed

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData
    from isoflop.analysis.reporting.sensitivity import Variant

YES_NO = {True: "yes", False: "no", None: NONE}
SCALING = {"a": "N ∝ Cᵃ", "b": "D ∝ Cᵇ"}
EXPONENTS = ("a (N ∝ Cᵃ)", "95% interval", "b (D ∝ Cᵇ)", "95% interval", "remark")


def fit_table(data: ReportData) -> TextTable:
    """The parameters, with intervals and verdicts."""
    fit = data.fit
    units = {
        "E": data.table.conventions.unit, "A": "loss × parameters^alpha", "B": "loss × tokens^beta",
    }  # fmt: skip
    rows = [
        (name, number(each.value, 4), between(each.interval), "no" if each.identified is False else "yes",
         units.get(name, ""))
        for name, each in fit.parameter_estimates.items()
    ]  # fmt: skip
    rows += [
        (f"exponent {name}", number(each.value), between(each.interval), "", SCALING[name])
        for name, each in fit.exponent_estimates.items()
    ]
    headers = ("parameter", "estimate", "95% interval", "identified", "unit")
    return TextTable("The fit", _fit_caption(data), headers, tuple(rows))


def _fit_caption(data: ReportData) -> str:
    fit, objective = data.fit, data.fit.objective
    parts = []
    if objective is not None:
        loss = f"Huber, delta {objective.delta:g}" if objective.delta else "least squares"
        space = "log loss" if objective.space == "log" else "loss"
        parts.append(
            f"{fit.law}: {loss} on {space}, summed over {fit.n_runs} runs (value {objective.value:.3e})."
        )
    if fit.certificate is not None:
        parts.append(f"{fit.certificate.verdict.capitalize()}.")
    if fit.intervals is not None:
        parts.append(f"Intervals: {fit.intervals.B} bootstrap resamples of {fit.intervals.resampling}.")
    return " ".join(parts)


def conventions_table(data: ReportData) -> TextTable:
    """Exponents under each way of counting."""
    fits = [variant.fit for variant in data.conventions if variant.fit is not None]
    sums = " Where C is not 6ND the exponents are slopes of the allocation over these budgets, and need not "
    other = any(fit.conventions.flops_meaning != "6 N D" for fit in fits)
    return _exponents(
        "Exponents under each convention",
        "The same runs and the same fit (approach 3), with parameters and FLOPs counted in other ways."
        f"{f'{sums}sum to 1.' if other else ''}",
        "convention",
        data.conventions,
    )


def approaches_table(data: ReportData) -> TextTable:
    """Exponents by approach."""
    caption = "Three ways to the same exponents, Hoffmann et al. (2022), section 3."
    return _exponents("Exponents by approach", caption, "approach", data.approaches)


def _exponents(title: str, caption: str, what: str, variants: Sequence[Variant]) -> TextTable:
    own = frozenset(k for k, variant in enumerate(variants) if variant.own)
    return TextTable(title, caption, (what, *EXPONENTS), tuple(map(_exponent_row, variants)), own)


def _exponent_row(variant: Variant) -> tuple[str, ...]:
    fit = variant.fit
    if fit is None:
        return variant.name, NONE, NONE, NONE, NONE, variant.why
    unknown = ", ".join(fit.unidentified)
    doubt = "" if fit.trusted else f"not identified: {unknown}" if unknown else "optimum not certified"
    found = (fit.exponent_estimates[name] for name in "ab")
    cells = [text for each in found for text in (number(each.value), between(each.interval))]
    return variant.name, *cells, doubt


def sensitivity_table(data: ReportData) -> TextTable:
    """One choice changed at a time."""
    names = tuple(data.fit.params)
    top = power(data.groups[-1].flops if data.groups else data.table.C_R.max())
    rows = tuple(
        (
            f"{choice.kind}: {choice.name}" if choice.kind else choice.name,
            *(number(choice.params.get(name)) for name in names), number(choice.a), number(choice.loss, 4),
            YES_NO[choice.sound], choice.remark,
        )
        for choice in data.sensitivity
    )  # fmt: skip
    return TextTable(
        "Sensitivity",
        f"One choice changed at a time; the loss is the least that is predicted at {top} FLOPs. Sound: "
        f"certified, and every parameter identified.{_moved(data)}",
        ("changed", *names, "a", "loss", "sound", "remark"),
        rows,
        frozenset(k for k, choice in enumerate(data.sensitivity) if choice.own),
    )


def _moved(data: ReportData) -> str:
    """How far the choices move the exponent and the loss, of the law itself and of other forms alike."""
    a = [choice.a for choice in data.sensitivity if choice.a is not None]
    loss = [choice.loss for choice in data.sensitivity if choice.loss is not None]
    if len(a) < 2 or len(loss) < 2:
        return ""
    span = between(data.fit.exponent_estimates["a"].interval)
    beside = "" if span == NONE else f" (its {data.options.level:.0%} interval: {span})"
    return (
        f" Over all rows a goes from {number(min(a))} to {number(max(a))}{beside}, the loss from "
        f"{number(min(loss), 4)} to {number(max(loss), 4)}."
    )


def heldout_table(data: ReportData) -> TextTable:
    """Every held-out run and its prediction."""
    holdout = data.held.holdout if data.held else None
    rows = []
    for row in holdout.rows if holdout else ():
        rows.append((
            *counts(row.n_params, row.n_tokens), flops(row.flops), fixed(row.loss),
            fixed(row.predicted), signed(row.error), between(row.interval, 4), YES_NO[row.inside],
        ))  # fmt: skip
    level = f"{data.options.level:.0%} predictive"
    return TextTable(
        "Held-out runs",
        "Approach 3 fitted to the runs of less compute; predictive intervals take in the run's "
        "noise, the bootstrap of the fit and the spread of other laws fitted to the same runs.",
        ("N", "D", "C", "measured", "predicted", "error", level, "inside"),
        tuple(rows),
        folded=True,
    )
