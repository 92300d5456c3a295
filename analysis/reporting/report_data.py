"""Everything a report says, computed once: the figures and tables only show it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from isoflop.analysis.approaches.fit import fit, prepare, recounted
from isoflop.analysis.approaches.holdout import largest_budget
from isoflop.analysis.comparison.agreement import Agreement
from isoflop.analysis.comparison.competition import Competition, compete
from isoflop.analysis.comparison.rolling import rolling
from isoflop.analysis.figures.allocation import Allocation
from isoflop.analysis.figures.axis_values import LossByAxisValue
from isoflop.analysis.figures.competition import HeldOutErrors
from isoflop.analysis.figures.curves import TrainingCurves
from isoflop.analysis.figures.evaluations import LossByPosition, PruningLoss, QuantizationLoss
from isoflop.analysis.figures.figure_data import FigureData
from isoflop.analysis.figures.heldout import HeldOutBudget
from isoflop.analysis.figures.isoflop import IsoflopCurves
from isoflop.analysis.figures.profiles import ObjectiveProfiles
from isoflop.analysis.figures.residuals import Residuals
from isoflop.analysis.figures.rolling import RollingHoldouts
from isoflop.analysis.figures.surface import Surface
from isoflop.analysis.figures.tuning import Tuning
from isoflop.analysis.isoflops.groups import IsoflopGroup, isoflop_groups
from isoflop.analysis.options import FitOptions
from isoflop.analysis.reporting.certainty import agreements, law_profiles
from isoflop.analysis.reporting.sensitivity import Choice, Variant, attempt, choices, convention_variants
from isoflop.analysis.reporting.sweep_folder import SweepFolder, read_sweep
from isoflop.analysis.result import LawFit, Profiles
from isoflop.analysis.rolling_scores import Rolling
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.fitted_law import one_law
from isoflop.base.errors import UserError

RIVALS = ("chinchilla", "gadre", "kaplan", "kaplan_compute", "skaling")
"""Laws that compete unless others are named: each further one takes seconds to compile."""


@dataclass(frozen=True)
class ReportData:
    """A table, the fits of it and the sweep around it. Each is made when it is first asked for, so that one
    figure costs only what it draws.
    """

    table: RunTable
    at_each_value: RunTable
    """The table with a row for each value of an axis, also of a run that values share."""
    options: FitOptions
    """Options of every fit of the whole table: approach 3, nothing held out."""
    holdout: float | None
    """FLOPs of the least budget that the fits below leave out; None for a table with nothing to hold out."""
    laws: tuple[str, ...]
    """What competes."""
    given: LawFit | None = None
    """A fit of the whole table that is at hand already."""
    rolls: bool = False
    """Whether rolling hold-outs are part of it."""

    @cached_property
    def fit(self) -> LawFit:
        """Approach 3 on every run. Raises `UserError` where it cannot be fitted."""
        return self.given or fit(self.table, dataclasses.replace(self.options, forms=True))

    @cached_property
    def approaches(self) -> tuple[Variant, Variant, Variant]:
        """Approaches 1 to 3 on every run."""
        envelope, no_envelope = self._attempt(approach=1)
        return (
            Variant("approach 1: envelope", False, envelope, no_envelope),
            Variant("approach 2: parabolas", False, *self._parabolas),
            Variant("approach 3: fitted surface", True, self.fit),
        )

    @cached_property
    def parabolas(self) -> LawFit | None:
        """Approach 2 on every run, where the table has IsoFLOP groups."""
        return self._parabolas[0]

    @cached_property
    def envelope(self) -> LawFit | None:
        """Approach 1 on every run."""
        return self.approaches[0].fit

    @cached_property
    def held(self) -> LawFit | None:
        """Approach 3 on the runs below the holdout, with its score on those above."""
        return self._held[0]

    @cached_property
    def competition(self) -> Competition | None:
        """Laws and baselines fitted below the holdout and scored above it."""
        return self._competition[0]

    @cached_property
    def rolling(self) -> Rolling | None:
        """The law fitted below a growing cut and scored above, where asked for."""
        return self._rolling[0]

    @cached_property
    def groups(self) -> tuple[IsoflopGroup, ...]:
        """The IsoFLOP budgets."""
        return tuple(isoflop_groups(self.table))

    @cached_property
    def conventions(self) -> tuple[Variant, ...]:
        """The fit under every counting convention."""
        return convention_variants(self.table, self.options, self.fit)

    @cached_property
    def sensitivity(self) -> tuple[Choice, ...]:
        """The fit with one choice changed at a time."""
        return choices(self.table, self.options, self.fit, self.groups, self.conventions, self.competition)

    @cached_property
    def profiles(self) -> Profiles | None:
        """How the objective rises about the fit."""
        return law_profiles(self.table, self.options, self.fit)

    @cached_property
    def agreements(self) -> tuple[Agreement, ...]:
        """Approaches 1 and 2 against the fit."""
        return agreements(self.table, self.options, self.fit)

    @cached_property
    def sweep(self) -> SweepFolder:
        """What the table's folder holds besides."""
        return read_sweep(self.table)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Why what is not there could not be made."""
        missing = (
            self._parabolas[1],
            self.approaches[0].why,
            self._held[1],
            self._competition[1],
            self._rolling[1],
        )
        return tuple(why for why in missing if why)

    @property
    def title(self) -> str:
        return self.sweep.title or self.table.source.rsplit("/", 1)[-1]

    @cached_property
    def figures(self) -> dict[str, FigureData]:
        """Every figure that there is something to show in, by its file's name."""
        drawn = {name: make(self) for name, make in FIGURES.items()}
        return {name: figure for name, figure in drawn.items() if figure is not None}

    def _attempt(self, **changes: Any) -> tuple[LawFit | None, str]:
        return attempt(self.table, dataclasses.replace(self.options, **changes))

    @cached_property
    def _parabolas(self) -> tuple[LawFit | None, str]:
        return self._attempt(approach=2)

    @cached_property
    def _held(self) -> tuple[LawFit | None, str]:
        return (None, "") if self.holdout is None else self._attempt(holdout=self.holdout, forms=True)

    @cached_property
    def _competition(self) -> tuple[Competition | None, str]:
        if self.holdout is None:
            return None, ""
        try:
            options = dataclasses.replace(self.options, holdout=self.holdout)
            return compete(self.table, options, self.laws), ""
        except UserError as error:
            return None, str(error)

    @cached_property
    def _rolling(self) -> tuple[Rolling | None, str]:
        if not self.rolls:
            return None, ""
        try:
            return rolling(self.table, self.options), ""
        except UserError as error:
            return None, str(error)


FIGURES: dict[str, Callable[[ReportData], FigureData | None]] = {
    "isoflop": lambda data: IsoflopCurves.of(data.table, data.parabolas),
    "axis": lambda data: LossByAxisValue.of(data.at_each_value),
    "allocation": lambda data: Allocation.of(data.table, data.fit, data.parabolas, data.options.level),
    "heldout": lambda data: HeldOutBudget.of(data.table, data.held, data.options),
    "surface": lambda data: Surface.of(data.table, data.fit),
    "residuals": lambda data: Residuals.of(data.table, data.fit),
    "curves": lambda data: TrainingCurves.of(data.table, data.sweep.curves),
    "tuning": lambda data: Tuning.of(data.sweep.tuning, data.sweep.summary.get("learning_rate")),
    "positions": lambda data: LossByPosition.of(data.sweep.evals.get("positions")),
    "quantization": lambda data: QuantizationLoss.of(data.sweep.evals.get("quantization")),
    "pruning": lambda data: PruningLoss.of(data.sweep.evals.get("pruning")),
    "competition": lambda data: HeldOutErrors.of(data.competition, data.table.conventions.short_unit),
    "rolling": lambda data: RollingHoldouts.of(data.rolling, data.table.conventions.short_unit),
    "profiles": lambda data: ObjectiveProfiles.of(data.profiles, data.fit),
}
"""By file name: what each figure takes."""


def analyze(
    table: RunTable,
    options: FitOptions | None = None,
    laws: Sequence[str] = RIVALS,
    given: LawFit | None = None,
    rolls: bool = False,
) -> ReportData:
    """Return all that a report says of a table, counted and cut as the options have it; `laws` compete.

    `rolls`: with rolling hold-outs.
    """
    options = dataclasses.replace(options or FitOptions(), approach=3)
    one_law(table, options, "a report")
    counted = recounted(table, options)
    table = prepare(counted, options)
    plain = dataclasses.replace(options, drop_worst=0, count=None, flops=None, holdout=None)
    holdout = options.holdout or largest_budget(table)
    return ReportData(table, counted, plain, holdout, tuple(laws), given, rolls)
