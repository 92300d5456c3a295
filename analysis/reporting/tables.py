"""The report's tables, as text cells with a caption each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.plots.style import power, short
from analysis.reporting.words import NONE, between, number, signed

if TYPE_CHECKING:
    from analysis.reporting.story import Story, Variant


@dataclass(frozen=True)
class Table:
    """Cells are text; one that sorts by another value than it shows is a pair (text, value)."""

    title: str
    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str | tuple[str, float], ...], ...]
    own: frozenset[int] = frozenset()
    """Rows to set in bold: the report's own choice."""
    folded: bool = False
    """Shown closed, to be opened."""


def tables(story: Story) -> list[Table]:
    """All tables that the story has rows for, in the page's order."""
    made = [
        _fit(story),
        _minima(story),
        _conventions(story),
        _approaches(story),
        _sensitivity(story),
        _heldout(story),
        _checks(story),
        _cost(story),
        _stages(story),
        _runs(story),
        _excluded(story),
    ]
    return [table for table in made if table.rows]


def _fit(story: Story) -> Table:
    fit = story.fit
    units = {
        "E": "nats per token",
        "alpha": "",
        "beta": "",
        "A": "nats × params^alpha",
        "B": "nats × tokens^beta",
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
    return Table(
        "The fit",
        _fit_caption(story),
        ("parameter", "estimate", "95% interval", "identified", "unit"),
        tuple(rows),
    )


def _fit_caption(story: Story) -> str:
    fit, seal, objective = story.fit, story.fit.certificate, story.fit.objective
    parts = []
    if objective is not None:
        how = f"Huber, delta {objective.delta:g}" if objective.delta else "least squares"
        space = "log loss" if objective.space == "log" else "loss in nats"
        parts.append(
            f"{fit.law}: {how} on {space}, summed over {fit.n_runs} runs (value {objective.value:.3e})."
        )
    if seal is not None:
        parts.append(
            f"{seal.status.replace('_', ' ').capitalize()}: gradient norm {seal.gradient_norm:.1e}, "
            f"{seal.starts_at_optimum} of {seal.starts} starts at the optimum, condition number "
            f"{number(seal.condition_number, 2)}."
        )
    if fit.intervals is not None:
        parts.append(f"Intervals: {fit.intervals.B} bootstrap resamples of {fit.intervals.resampling}.")
    return " ".join(parts)


def _minima(story: Story) -> Table:
    budgets = story.parabolas.budgets if story.parabolas and story.parabolas.budgets else ()
    rows = []
    for b in budgets:
        ratio = short(b.d_opt / b.n_opt) if b.n_opt and b.d_opt else NONE
        span = NONE if not b.n_interval or not b.n_interval[0] or not b.n_interval[1] else (
            f"[{short(b.n_interval[0])}, {short(b.n_interval[1])}]")  # fmt: skip
        rows.append((
            (power(b.flops), b.flops), short(b.n_opt) if b.n_opt else NONE, span,
            short(b.d_opt) if b.d_opt else NONE, ratio, number(b.loss_opt, 4),
            "yes" if b.interior else "no", "yes" if b.convex else "no", str(b.runs),
        ))  # fmt: skip
    headers = ("budget C", "N_opt", "95% interval", "D_opt", "D/N", "loss", "interior", "convex", "runs")
    return Table("IsoFLOP minima", "Approach 2: the vertex of each budget's parabola.", headers, tuple(rows))


def _exponent_row(variant: Variant) -> tuple[str, ...]:
    fit = variant.fit
    if fit is None:
        return variant.name, NONE, NONE, NONE, NONE, variant.why
    spans = fit.intervals.exponents if fit.intervals else {}
    doubt = (
        ""
        if fit.trusted
        else "not settled: " + (", ".join(k for k, v in fit.identified.items() if not v) or "optimum")
    )
    return (
        variant.name,
        number(fit.exponents["a"], 3),
        between(spans.get("a"), 3),
        number(fit.exponents["b"], 3),
        between(spans.get("b"), 3),
        doubt,
    )


EXPONENTS = ("a (N ∝ Cᵃ)", "95% interval", "b (D ∝ Cᵇ)", "95% interval", "remark")


def _conventions(story: Story) -> Table:
    return Table(
        "Exponents under each convention",
        "The same runs and the same fit (approach 3), with parameters and FLOPs counted in other "
        "ways. Under the table's "
        "own FLOPs the exponents are slopes of the allocation over these budgets, and need not sum to 1.",
        ("convention", *EXPONENTS),
        tuple(_exponent_row(v) for v in story.conventions),
        _own(story.conventions),
    )


def _approaches(story: Story) -> Table:
    return Table(
        "Exponents by approach",
        "Three ways to the same exponents, Hoffmann et al. (2022), section 3.",
        ("approach", *EXPONENTS),
        tuple(_exponent_row(v) for v in story.approaches),
        _own(story.approaches),
    )


def _sensitivity(story: Story) -> Table:
    rows = []
    names = tuple(story.fit.params)
    for variant in story.sensitivity:
        fit = variant.fit
        if fit is None:
            rows.append((variant.name, *[NONE] * (len(names) + 3)))
            continue
        rows.append((
            variant.name, *(number(fit.params[name], 3) for name in names), number(fit.exponents["a"], 3),
            number(fit.exponents["b"], 3), "yes" if fit.trusted else "no",
        ))  # fmt: skip
    return Table(
        "Sensitivity",
        "One choice changed at a time. Parameters trade off against each other; the exponents move less.",
        ("changed", *names, "a", "b", "settled"),
        tuple(rows),
        _own(story.sensitivity),
    )


def _heldout(story: Story) -> Table:
    held = story.held.holdout if story.held else None
    rows = []
    for row in (held or {}).get("rows", []):
        low, high = row["interval"]
        inside = NONE if low is None or high is None else ("yes" if low <= row["loss"] <= high else "no")
        rows.append((
            (short(row["n_params"]), row["n_params"]), (short(row["n_tokens"]), row["n_tokens"]),
            (power(row["flops"]), row["flops"]), f"{row['loss']:.4f}", f"{row['predicted']:.4f}",
            signed(row["error"]), between((low, high), 4), inside,
        ))  # fmt: skip
    headers = ("N", "D", "C", "measured", "predicted", "error (nats)", "95% predictive", "inside")
    return Table(
        "Held-out runs",
        "Approach 3 fitted below the largest budget; predictive intervals take in the bootstrap of "
        "the fit and run noise, "
        "and assume that the law is right.",
        headers,
        tuple(rows),
        folded=True,
    )


def _checks(story: Story) -> Table:
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
    return Table(
        "Checks at the largest budget's minimum",
        "Runs outside the grid at one of its cells: what the shared trunk costs against a fresh run, "
        "and whether another "
        "learning rate would have done better.",
        ("check", "N", "learning rate", "loss", "grid's loss", "difference (nats)"),
        tuple(rows),
    )


def _twin(story: Story, check: dict) -> float | None:
    """Mean loss of the grid's own runs at the check's width and nearly its FLOPs."""
    frame = story.table.frame
    if "d_model" not in frame.columns or "d_model" not in check or "flops" not in check:
        return None
    near = (frame["d_model"] == check["d_model"]) & (np.abs(np.log(frame["flops"] / check["flops"])) < 0.05)
    return float(frame.loc[near, "loss"].mean()) if near.any() else None


def _cost(story: Story) -> Table:
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
    return Table(
        "Compute spent", "Training FLOPs by the exact ledger.", ("for", "FLOPs", "of fresh runs"), tuple(rows)
    )


def _stages(story: Story) -> Table:
    stages = story.sweep.summary.get("stages") or []
    rows = [(str(stage["name"]), f"{stage['seconds']:.1f}") for stage in stages]
    if rows:
        rows.append(("in all", f"{sum(stage['seconds'] for stage in stages):.1f}"))
    device = story.sweep.summary.get("device")
    where = f"Wall clock on {device}." if isinstance(device, str) else "Wall clock."
    return Table("Seconds per stage", where, ("stage", "seconds"), tuple(rows))


def _runs(story: Story) -> Table:
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
    return Table("Runs", "Every run in the fit. Click a heading to sort.", headers, tuple(rows), folded=True)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _excluded(story: Story) -> Table:
    rows = tuple((str(item.row), item.why) for item in story.fit.excluded)
    return Table("Rows left out", "Rows of the table that no fit saw.", ("row", "why"), rows, folded=True)


def _own(variants: Sequence[Variant]) -> frozenset[int]:
    return frozenset(k for k, variant in enumerate(variants) if variant.own)
