"""The report's tables of the law: its parameters, what moves them, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isoflop.analysis.figures.style import loss_unit, power, short
from isoflop.analysis.reporting.formatting import NONE, between, number, signed
from isoflop.analysis.reporting.text_table import TextTable

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData
    from isoflop.analysis.reporting.variants import Variant


def fit_table(story: ReportData) -> TextTable:
    """The parameters, with intervals and verdicts."""
    fit = story.fit
    units = {
        "E": loss_unit(story.table.conventions),
        "A": "loss × parameters^alpha",
        "B": "loss × tokens^beta",
    }
    rows = []
    for name, value in fit.params.items():
        span = fit.intervals.params.get(name) if fit.intervals else None
        verdict = "yes" if fit.identified.get(name, True) else "no"
        rows.append((name, number(value, 4), between(span, 3), verdict, units.get(name, "")))
    for name, value in fit.exponents.items():
        span = fit.intervals.exponents.get(name) if fit.intervals else None
        rows.append(
            (
                f"exponent {name}",
                number(value, 3),
                between(span, 3),
                "",
                "N ∝ Cᵃ" if name == "a" else "D ∝ Cᵇ",
            )
        )
    return TextTable(
        "The fit",
        _fit_caption(story),
        ("parameter", "estimate", "95% interval", "identified", "unit"),
        tuple(rows),
    )


def _fit_caption(story: ReportData) -> str:
    fit, seal, objective = story.fit, story.fit.certificate, story.fit.objective
    parts = []
    if objective is not None:
        how = f"Huber, delta {objective.delta:g}" if objective.delta else "least squares"
        space = "log loss" if objective.space == "log" else "loss"
        parts.append(
            f"{fit.law}: {how} on {space}, summed over {fit.n_runs} runs (value {objective.value:.3e})."
        )
    if seal is not None:
        parts.append(f"{seal.status.replace('_', ' ').capitalize()}.")
    if fit.intervals is not None:
        parts.append(f"Intervals: {fit.intervals.B} bootstrap resamples of {fit.intervals.resampling}.")
    return " ".join(parts)


def _exponent_row(variant: Variant) -> tuple[str, ...]:
    fit = variant.fit
    if fit is None:
        return variant.name, NONE, NONE, NONE, NONE, variant.why
    spans = fit.intervals.exponents if fit.intervals else {}
    unknown = ", ".join(name for name, known in fit.identified.items() if not known)
    doubt = "" if fit.trusted else f"not identified: {unknown}" if unknown else "optimum not certified"
    return (
        variant.name,
        number(fit.exponents["a"], 3),
        between(spans.get("a"), 3),
        number(fit.exponents["b"], 3),
        between(spans.get("b"), 3),
        doubt,
    )


EXPONENTS = ("a (N ∝ Cᵃ)", "95% interval", "b (D ∝ Cᵇ)", "95% interval", "remark")


def conventions_table(story: ReportData) -> TextTable:
    """Exponents under each way of counting."""
    return TextTable(
        "Exponents under each convention",
        "The same runs and the same fit (approach 3), with parameters and FLOPs counted in other ways."
        f"{_sum_of_exponents(story)}",
        ("convention", *EXPONENTS),
        tuple(_exponent_row(v) for v in story.conventions),
        _own(story.conventions),
    )


def _sum_of_exponents(story: ReportData) -> str:
    """Why a and b need not sum to 1, where they don't."""
    if not any(v.fit is not None and v.fit.conventions.flops_meaning != "6 N D" for v in story.conventions):
        return ""
    return (
        " Where C is not 6ND the exponents are slopes of the allocation over these budgets, and need not "
        "sum to 1."
    )


def approaches_table(story: ReportData) -> TextTable:
    """Exponents by approach."""
    return TextTable(
        "Exponents by approach",
        "Three ways to the same exponents, Hoffmann et al. (2022), section 3.",
        ("approach", *EXPONENTS),
        tuple(_exponent_row(v) for v in story.approaches),
        _own(story.approaches),
    )


def sensitivity_table(story: ReportData) -> TextTable:
    """One choice changed at a time."""
    names = tuple(story.fit.params)
    top = power(story.groups[-1].flops if story.groups else story.table.C_R.max())
    rows = tuple(
        (
            f"{choice.kind}: {choice.name}" if choice.kind else choice.name,
            *(number(choice.params.get(name), 3) for name in names),
            number(choice.a, 3),
            number(choice.loss, 4),
            {True: "yes", False: "no", None: NONE}[choice.sound],
            choice.remark,
        )
        for choice in story.sensitivity
    )
    return TextTable(
        "Sensitivity",
        f"One choice changed at a time; the loss is the least that is predicted at {top} FLOPs. Sound: "
        f"certified, and every parameter identified.{_moved(story)}",
        ("changed", *names, "a", "loss", "sound", "remark"),
        rows,
        frozenset(k for k, choice in enumerate(story.sensitivity) if choice.own),
    )


def _moved(story: ReportData) -> str:
    """How far the choices move the exponent and the loss, of the law itself and of other forms alike."""
    a = [choice.a for choice in story.sensitivity if choice.a is not None]
    loss = [choice.loss for choice in story.sensitivity if choice.loss is not None]
    if len(a) < 2 or len(loss) < 2:
        return ""
    span = story.fit.intervals.exponents.get("a") if story.fit.intervals else None
    beside = "" if between(span) == NONE else f" (its {story.options.level:.0%} interval: {between(span, 3)})"
    return (
        f" Over all rows a goes from {number(min(a), 3)} to {number(max(a), 3)}{beside}, the loss from "
        f"{number(min(loss), 4)} to {number(max(loss), 4)}."
    )


def heldout_table(story: ReportData) -> TextTable:
    """Every held-out run and its prediction."""
    held = story.held.holdout if story.held else None
    rows = []
    for row in held.rows if held else ():
        rows.append((
            (short(row.n_params), row.n_params), (short(row.n_tokens), row.n_tokens),
            (power(row.flops), row.flops), f"{row.loss:.4f}", f"{row.predicted:.4f}",
            signed(row.error), between(row.interval, 4), {True: "yes", False: "no", None: NONE}[row.inside],
        ))  # fmt: skip
    level = f"{story.options.level:.0%} predictive"
    headers = ("N", "D", "C", "measured", "predicted", "error", level, "inside")
    return TextTable(
        "Held-out runs",
        "Approach 3 fitted to the runs of less compute; predictive intervals take in the bootstrap of the "
        "fit and run noise, and assume that the law is right.",
        headers,
        tuple(rows),
        folded=True,
    )


def _own(variants: Sequence[Variant]) -> frozenset[int]:
    return frozenset(k for k, variant in enumerate(variants) if variant.own)
