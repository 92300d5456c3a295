"""The fit done otherwise, one choice at a time: which choice moves the answer?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isoflop.analysis.approaches.fit import fit
from isoflop.analysis.approaches.holdout import ENOUGH_GROUPS
from isoflop.analysis.columns.counting import different_counts
from isoflop.analysis.comparison.competition import Competition
from isoflop.analysis.isoflops.groups import IsoflopGroup
from isoflop.analysis.laws import find_law
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.search import covariates
from isoflop.analysis.tables.cells import FEW_LISTED, listed
from isoflop.base.errors import UserError
from isoflop.base.formatting import power

QUICK = {"bootstrap": 0, "starts": 16}
"""For the many refits of the sensitivity table."""
FEWER = {"bootstrap": 200, "starts": 32}
OUTLYING = 4.0
"""Residuals beyond this many robust standard deviations (1.4826 median |residual|) are called outliers."""
BEYOND = 1e20
"""A Huber delta that no residual reaches makes least squares, by a program that is compiled already."""


@dataclass(frozen=True)
class Variant:
    """One refit: its name, whether it is the report's own, and the fit (None with the reason where it
    fails).
    """

    name: str
    own: bool
    fit: LawFit | None
    why: str = ""


@dataclass(frozen=True)
class Choice:
    """What one choice makes of the answer. `loss`: least loss predicted at the largest budget, nats."""

    kind: str
    """What was changed: the objective, the runs, the weights, the counting or the form."""
    name: str
    own: bool = False
    params: dict[str, float | None] = field(default_factory=dict)
    a: float | None = None
    loss: float | None = None
    sound: bool | None = None
    """Certified, and every parameter identified."""
    remark: str = ""


def attempt(table: RunTable, options: FitOptions) -> tuple[LawFit | None, str]:
    """The fit, or None and why there is none."""
    try:
        return fit(table, options), ""
    except UserError as error:
        return None, str(error)


def convention_variants(table: RunTable, options: FitOptions, whole: LawFit) -> tuple[Variant, ...]:
    """The fit under every counting convention that the table has."""
    variants = []
    own = (table.conventions.count, table.conventions.flops)
    for count in different_counts(table.rows):
        for flops in ("exact", "6nd"):
            if (count, flops) == own:
                found, why = whole, ""
            else:
                changed: dict[str, Any] = {**FEWER, "count": count, "flops": flops}
                found, why = attempt(table, dataclasses.replace(options, **changed))
            if found is None or _repeats_6nd(found, flops, (count, flops) == own):
                continue
            exact = "the table's FLOPs" if flops == "exact" else "6ND"
            name = f"{count.replace('_', '-')} N, {exact}"
            variants.append(Variant(name, (count, flops) == own, found, why))
    return tuple(variants)


def _repeats_6nd(found: LawFit, flops: str, own: bool) -> bool:
    return not own and flops == "exact" and found.conventions.flops_meaning == "6 N D"


def choices(
    table: RunTable,
    options: FitOptions,
    whole: LawFit,
    groups: Sequence[IsoflopGroup],
    conventions: Sequence[Variant],
    competition: Competition | None,
) -> tuple[Choice, ...]:
    """One change at a time, without intervals. The forms are those of the competition, fitted below."""
    C = groups[-1].flops if groups else float(table.C_R.max())
    quick = dataclasses.replace(options, **QUICK)
    made = [_choice("", "as reported", whole, C, own=True)]
    for kind, name, part, changed, remark in (
        *_objectives(table, quick, whole),
        *_subsets(table, quick, whole, groups),
    ):
        found, why = attempt(part, changed)
        made.append(_choice(kind, name, found, C, remark=remark if found else why))
    for variant in conventions:
        if not variant.own:
            made.append(_counted(variant, whole, C))
    return (*made, *_forms(competition))


def _counted(variant: Variant, whole: LawFit, C: float) -> Choice:
    """C FLOPs of another kind are another budget: the loss there is left out."""
    made = _choice("counting", variant.name, variant.fit, C)
    meanings = {fit.conventions.flops_meaning for fit in (variant.fit, whole) if fit is not None}
    return made if len(meanings) == 1 else dataclasses.replace(made, loss=None)


Change = tuple[str, str, RunTable, FitOptions, str]
"""Kind, name, runs, options, remark."""


def _objectives(table: RunTable, quick: FitOptions, whole: LawFit) -> Iterator[Change]:
    for delta in (1e-4, 1e-2):
        name = f"Huber delta {delta:.0e}".replace("e-0", "e−")
        yield "objective", name, table, dataclasses.replace(quick, loss="huber", delta=delta), ""
    for space, name in (("log", "log loss"), ("raw", "loss itself")):
        options = dataclasses.replace(quick, loss="huber", delta=BEYOND, space=space)
        yield "objective", f"least squares, {name}", table, options, ""
    seeds = whole.noise
    if seeds is not None and quick.weights != "seeds":
        options = dataclasses.replace(quick, weights="seeds")
        yield "weights", "by the seeds' noise", table, options, f"{seeds.cells_repeated} repeated cells"


def _subsets(
    table: RunTable, quick: FitOptions, whole: LawFit, groups: Sequence[IsoflopGroup]
) -> Iterator[Change]:
    keep_R = ~outliers(table, whole)
    if keep_R.all():
        remark = f"none: no residual beyond {OUTLYING:g} robust standard deviations"
        yield "runs", "without outliers", table, quick, remark
    else:
        rows = table.frame.index[~keep_R].tolist()
        remark = f"{len(rows)} dropped: row{'s' if len(rows) > 1 else ''} {listed(rows, FEW_LISTED)}"
        yield "runs", "without outliers", table.where(keep_R), quick, remark
    for name, worst in (("2 runs", 2), ("10% of runs", max(1, len(table) // 10))):
        options = dataclasses.replace(quick, drop_worst=worst)
        yield "runs", f"{name} of highest loss dropped", table, options, ""
    if len(groups) >= ENOUGH_GROUPS:
        for name, group in (("smallest", groups[0]), ("largest", groups[-1])):
            part = table.where(~np.isin(np.arange(len(table)), group.rows))
            yield "runs", f"without the {name} budget", part, quick, ""
    for name, size in (("smallest", table.N_R.min()), ("largest", table.N_R.max())):
        yield "runs", f"without the {name} size", table.where(size != table.N_R), quick, ""


def outliers(table: RunTable, whole: LawFit) -> np.ndarray:
    """Which runs' log residuals about the fit lie beyond `OUTLYING` robust standard deviations, R bools."""
    inputs = covariates(table, find_law(whole.law or ""))
    residual_R = np.log(table.loss_R) - np.log(whole.predict(table.N_R, table.D_R, *inputs))
    spread = 1.4826 * float(np.median(np.abs(residual_R)))
    return np.abs(residual_R) > OUTLYING * max(spread, 1e-9)


def _forms(competition: Competition | None) -> Iterator[Choice]:
    if competition is None:
        return
    for row in competition.rows:
        if row.kind == "law" and row.exponent is not None:
            sound = row.certificate == "certified" and not row.unidentified
            yield Choice(
                "form",
                row.name,
                a=row.exponent,
                loss=row.optimum_loss,
                sound=sound,
                remark=f"fitted to the {row.n_fit} runs below {power(competition.c_min)} FLOPs",
            )


def _choice(
    kind: str, name: str, found: LawFit | None, C: float, own: bool = False, remark: str = ""
) -> Choice:
    if found is None:
        return Choice(kind, name, remark=remark)
    N, D = found.allocate(C)
    known = bool(np.isfinite(N)) and not find_law(found.law or "").covariates
    return Choice(
        kind=kind,
        name=name,
        own=own,
        params=found.params,
        a=found.exponents["a"],
        loss=float(found.predict(N, D)) if known else None,
        sound=found.trusted,
        remark=remark,
    )
