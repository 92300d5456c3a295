"""Everything a report says, computed once: the figures and tables only draw it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from isoflop.analysis.approaches.fit import drop_worst, fit
from isoflop.analysis.approaches.holdout import largest_budget
from isoflop.analysis.comparison.agreement import Agreement
from isoflop.analysis.comparison.competition import Competition, compete
from isoflop.analysis.figures.allocation import Allocation
from isoflop.analysis.figures.competition import HeldOutErrors
from isoflop.analysis.figures.curves import TrainingCurves
from isoflop.analysis.figures.figure_data import FigureData
from isoflop.analysis.figures.heldout import HeldOutBudget
from isoflop.analysis.figures.isoflop import IsoflopCurves
from isoflop.analysis.figures.profiles import ObjectiveProfiles
from isoflop.analysis.figures.residuals import Residuals
from isoflop.analysis.figures.style import nats
from isoflop.analysis.figures.surface import Surface
from isoflop.analysis.figures.tuning import Tuning
from isoflop.analysis.isoflops.groups import IsoflopGroup, isoflop_groups
from isoflop.analysis.options import FitOptions
from isoflop.analysis.reporting.certainty import agreements, law_profiles
from isoflop.analysis.reporting.sensitivity import Choice, Variant, attempt, choices, convention_variants
from isoflop.analysis.reporting.sweep_folder import SweepFolder, read_sweep
from isoflop.analysis.result import LawFit, Profiles
from isoflop.analysis.run_table import RunTable
from isoflop.base.errors import UserError

RIVALS = ("chinchilla", "gadre", "kaplan", "kaplan_compute")
"""Laws that compete unless others are named: each further one takes seconds to compile."""


@dataclass(frozen=True)
class ReportData:
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
    groups: tuple[IsoflopGroup, ...]
    conventions: tuple[Variant, ...]
    approaches: tuple[Variant, ...]
    sensitivity: tuple[Choice, ...]
    competition: Competition | None
    """Laws and baselines fitted below the largest budget and scored there; None without one to hold out."""
    profiles: Profiles | None
    """How the objective rises about the fit."""
    agreements: tuple[Agreement, ...]
    sweep: SweepFolder
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        return self.sweep.title or self.table.source.rsplit("/", 1)[-1]

    @cached_property
    def figures(self) -> dict[str, FigureData]:
        """Every figure that there is something to show in, by its file's name."""
        table, fit, sweep = self.table, self.fit, self.sweep
        found: dict[str, FigureData | None] = {
            "isoflop": IsoflopCurves.of(table, self.parabolas),
            "allocation": Allocation.of(table, fit, self.parabolas, self.options.level),
            "heldout": HeldOutBudget.of(table, self.held, self.options),
            "surface": Surface.of(table, fit),
            "residuals": Residuals.of(table, fit),
            "curves": TrainingCurves.of(table, sweep.curves),
            "tuning": Tuning.of(sweep.tuning, sweep.summary.get("learning_rate")),
            "competition": HeldOutErrors.of(self.competition, nats(table.conventions)),
            "profiles": ObjectiveProfiles.of(self.profiles, fit),
        }
        return {name: figure for name, figure in found.items() if figure is not None}


def analyze(table: RunTable, options: FitOptions | None = None, laws: Sequence[str] = RIVALS) -> ReportData:
    """Fit the table every way the report shows; `laws` compete. Raises `UserError` where approach 3 cannot
    be fitted at all.
    """
    options = dataclasses.replace(options or FitOptions(), approach=3)
    table = table.counted(options.count or table.conventions.count, options.flops or table.conventions.flops)
    table = drop_worst(table, options.drop_worst)
    options = dataclasses.replace(options, drop_worst=0, count=None, flops=None)
    plain = dataclasses.replace(options, holdout=None)
    whole = fit(table, plain)
    parabolas, no_parabolas = attempt(table, dataclasses.replace(plain, approach=2))
    envelope, no_envelope = attempt(table, dataclasses.replace(plain, approach=1))
    groups = tuple(isoflop_groups(table))
    held, held_parabolas, competition, notes = _held_out(table, options, laws)
    conventions = convention_variants(table, plain, whole)
    return ReportData(
        table=table,
        options=plain,
        fit=whole,
        parabolas=parabolas,
        envelope=envelope,
        held=held,
        held_parabolas=held_parabolas,
        groups=groups,
        conventions=conventions,
        approaches=(
            Variant("approach 1: envelope", False, envelope, no_envelope),
            Variant("approach 2: parabolas", False, parabolas, no_parabolas),
            Variant("approach 3: fitted surface", True, whole),
        ),
        sensitivity=choices(table, plain, whole, groups, conventions, competition),
        competition=competition,
        profiles=law_profiles(table, plain, whole),
        agreements=agreements(table, plain, whole),
        sweep=read_sweep(table),
        notes=tuple(why for why in (no_parabolas, no_envelope, *notes) if why),
    )


def _held_out(
    table: RunTable, options: FitOptions, laws: Sequence[str]
) -> tuple[LawFit | None, LawFit | None, Competition | None, tuple[str, ...]]:
    """Approaches 3 and 2 below the holdout, the competition there, and what is to be said."""
    c_min = options.holdout or largest_budget(table)
    if c_min is None:
        return None, None, None, ()
    options = dataclasses.replace(options, holdout=c_min)
    held, why = attempt(table, options)
    parabolas, _ = attempt(table, dataclasses.replace(options, approach=2))
    try:
        return held, parabolas, compete(table, options, laws), (why,)
    except UserError as error:
        return held, parabolas, None, (why, str(error))
