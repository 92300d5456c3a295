"""Everything a report says, computed once: the figures and tables only draw it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.counts import COUNTS
from analysis.errors import UserError
from analysis.fitting.fit import drop_worst, fit
from analysis.fitting.groups import Group, isoflop_groups
from analysis.options import FitOptions
from analysis.reporting.sweep import Sweep, read_sweep
from analysis.result import LawFit
from analysis.runs import RunTable

QUICK = {"bootstrap": 0, "starts": 16}
"""For the many refits of the sensitivity table."""
FEWER = {"bootstrap": 200, "starts": 32}
ENOUGH_GROUPS = 4
"""Budgets needed before one is held out."""
ENOUGH_RUNS = 12


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
class Story:
    """A table, the fits of it and the sweep around it."""

    table: RunTable
    options: FitOptions
    fit: LawFit
    """Approach 3 on every run."""
    parabolas: LawFit | None
    """Approach 2 on every run, where the table has IsoFLOP groups."""
    envelope: LawFit | None
    held: LawFit | None
    """Approach 3 on the runs below the largest budget, with its held-out score."""
    held_parabolas: LawFit | None
    groups: tuple[Group, ...]
    conventions: tuple[Variant, ...]
    approaches: tuple[Variant, ...]
    sensitivity: tuple[Variant, ...]
    sweep: Sweep
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        return self.sweep.title or self.table.source.rsplit("/", 1)[-1]

    @property
    def group_R(self) -> np.ndarray:
        """The group's number of each run, -1 for none."""
        number = np.full(len(self.table), -1)
        for g, group in enumerate(self.groups):
            number[group.rows] = g
        return number


def tell(table: RunTable, options: FitOptions | None = None) -> Story:
    """Fit the table every way the report shows. Raises `UserError` where approach 3 cannot be fitted at
    all.
    """
    options = dataclasses.replace(options or FitOptions(), approach=3)
    table = table.counted(
        options.count or table.conventions["count"], options.flops or table.conventions["flops"]
    )
    table = drop_worst(table, options.drop_worst)
    options = dataclasses.replace(options, drop_worst=0, count=None, flops=None)
    plain = dataclasses.replace(options, holdout=None)
    whole = fit(table, plain)
    parabolas, no_parabolas = _try(table, dataclasses.replace(plain, approach=2))
    envelope, no_envelope = _try(table, dataclasses.replace(plain, approach=1))
    groups = tuple(isoflop_groups(table))
    c_min = options.holdout or _holdout(table, groups)
    held = held_parabolas = None
    notes = tuple(why for why in (no_parabolas, no_envelope) if why)
    if c_min is not None:
        held, why = _try(table, dataclasses.replace(plain, holdout=c_min))
        held_parabolas, _ = _try(table, dataclasses.replace(plain, holdout=c_min, approach=2))
        notes += (why,) if why else ()
    return Story(
        table=table,
        options=plain,
        fit=whole,
        parabolas=parabolas,
        envelope=envelope,
        held=held,
        held_parabolas=held_parabolas,
        groups=groups,
        conventions=_conventions(table, plain, whole),
        approaches=(
            Variant("approach 1: envelope", False, envelope, no_envelope),
            Variant("approach 2: parabolas", False, parabolas, no_parabolas),
            Variant("approach 3: fitted surface", True, whole),
        ),
        sensitivity=_sensitivity(table, plain, whole, groups),
        sweep=read_sweep(table),
        notes=notes,
    )


def _try(table: RunTable, options: FitOptions) -> tuple[LawFit | None, str]:
    try:
        return fit(table, options), ""
    except UserError as error:
        return None, str(error)


def _holdout(table: RunTable, groups: tuple[Group, ...]) -> float | None:
    """The largest budget; in a table without IsoFLOP groups, the top fifth of its FLOPs."""
    if len(groups) >= ENOUGH_GROUPS:
        rows = groups[-1].rows
        budget_R = table.budget_R
        return float(table.C_R[rows].min() if budget_R is None else np.nanmin(budget_R[rows]))
    return float(np.quantile(table.C_R, 0.8)) if len(table) >= ENOUGH_RUNS else None


def _conventions(table: RunTable, options: FitOptions, whole: LawFit) -> tuple[Variant, ...]:
    """The fit under every counting convention that the table has."""
    variants = []
    own = (table.conventions["count"], table.conventions["flops"])
    for count in COUNTS:
        for flops in ("exact", "6nd"):
            changed: dict[str, Any] = {**FEWER, "count": count, "flops": flops}
            found, why = (whole, "") if (count, flops) == own else _try(
                table, dataclasses.replace(options, **changed))  # fmt: skip
            if found is not None:
                exact = "the table's FLOPs" if flops == "exact" else "6ND"
                if (
                    (count, flops) != own
                    and found.conventions["flops_meaning"] == "6 N D"
                    and flops == "exact"
                ):
                    continue
                variants.append(
                    Variant(f"{count.replace('_', '-')} N, {exact}", (count, flops) == own, found, why)
                )
    return tuple(variants)


def _sensitivity(
    table: RunTable, options: FitOptions, whole: LawFit, groups: tuple[Group, ...]
) -> tuple[Variant, ...]:
    """One change at a time, without intervals: which choice moves the answer?"""
    changes: list[tuple[str, dict[str, Any]]] = [
        ("Huber delta 1e-4", {"loss": "huber", "delta": 1e-4}),
        ("Huber delta 1e-2", {"loss": "huber", "delta": 1e-2}),
        ("least squares, log loss", {"loss": "mse", "space": "log"}),
        ("least squares, raw loss", {"loss": "mse", "space": "raw"}),
        ("worst 2 runs dropped", {"drop_worst": 2}),
        ("worst 10% of runs dropped", {"drop_worst": max(1, len(table) // 10)}),
    ]
    variants = [Variant("as reported", True, whole)]
    for name, change in changes:
        variants.append(
            Variant(name, False, *_try(table, dataclasses.replace(options, **{**QUICK, **change})))
        )
    quick = dataclasses.replace(options, **QUICK)
    if len(groups) >= ENOUGH_GROUPS:
        for name, group in (
            ("without the smallest budget", groups[0]),
            ("without the largest budget", groups[-1]),
        ):
            keep_R = ~np.isin(np.arange(len(table)), group.rows)
            variants.append(Variant(name, False, *_try(table.where(keep_R), quick)))
    for name, size in (
        ("without the smallest size", table.N_R.min()),
        ("without the largest size", table.N_R.max()),
    ):
        variants.append(Variant(name, False, *_try(table.where(size != table.N_R), quick)))
    return tuple(variants)
