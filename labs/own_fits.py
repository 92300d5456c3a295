"""What a student's own runs say, by the product's own fitter: exponents by method, curves, warnings."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isoflop.analysis.options import FitOptions
from isoflop.base.errors import UserError
from isoflop.labs.contract.messages import ExperimentResponse
from isoflop.labs.contract.statuses import Completed
from isoflop.labs.export import run_table
from isoflop.labs.lab import Lab
from isoflop.labs.settings import Settings
from isoflop.labs.store.database import Database
from isoflop.labs.store.experiments import list_experiments
from isoflop.labs.store.students import all_students
from isoflop.labs.truth import Truth

if TYPE_CHECKING:
    from isoflop.analysis import RunTable
    from isoflop.analysis.isoflops.budget import Budget

LAW = "chinchilla"
NO_EXPONENT = "the fit has no exponent: see its warnings"
UNIT = "nats per token"
LOSS = f"held-out cross-entropy, {UNIT}"
METHODS: dict[str, FitOptions] = {
    "argmin": FitOptions(approach=2, curve="argmin", bootstrap=0),
    "parabola": FitOptions(approach=2, curve="parabola", bootstrap=0),
    "approach 3": FitOptions(approach=3, law=LAW, bootstrap=0),
}
"""By name, how a fit is made: the run of least loss at each budget, a parabola's vertex (both of approach
2 of Hoffmann et al. 2022), and the parametric law."""


@dataclass(frozen=True)
class Exponent:
    """The exponent of N_opt in C by one method. `a` is None where the method gives none, and `why_none` says
    why; `identified`: whether the runs determine it."""

    method: str
    a: float | None
    identified: bool
    why_none: str = ""


@dataclass(frozen=True)
class OwnFits:
    """A student's runs, fitted. `table` is None where there are too few for any fit."""

    n_completed: int
    table: RunTable | None
    budgets: tuple[Budget, ...]
    exponents: tuple[Exponent, ...]
    warnings: tuple[str, ...]

    def true_a(self, truth: Truth) -> float:
        """The exponent of the student's law over the budgets of the runs, in FLOPs as the fits count them;
        without runs, under C = 6ND."""
        if self.table is None:
            return truth.beta / (truth.alpha + truth.beta)
        from isoflop.analysis import find_law
        from isoflop.analysis.compute import per_token
        from isoflop.analysis.uncertainty.quantities import budget_range, exponents

        law = find_law(LAW)
        params = np.array([[getattr(truth, name) for name in law.parameters]])
        return float(exponents(law, params, budget_range(self.table), per_token(self.table))[0, 0])


def fit_class(lab: Lab, store: Database) -> dict[str, OwnFits]:
    """By student, the fits of the own runs."""
    with store.read() as connection:
        runs = {each.name: list_experiments(connection, each.id) for each in all_students(connection)}
    return {name: fit_runs(own, lab.settings) for name, own in runs.items()}


def own_table(
    runs: Sequence[ExperimentResponse], settings: Settings, name: str, *, best_of_each: bool = True
) -> RunTable | None:
    """The completed runs as a run table; None without any.

    `name`: what messages call the runs; `best_of_each`: of several at one N and D only the best.
    """
    if not any(isinstance(run.status, Completed) for run in runs):
        return None
    import pandas as pd

    from isoflop.analysis import load_runs

    frame = pd.read_csv(io.StringIO(run_table(list(runs), settings)))
    repeated = any(frame.query("status == 'finished'").duplicated(["n_params_non_embedding", "n_tokens"]))
    table = load_runs(frame, best_of_each=best_of_each and repeated)
    conventions = dataclasses.replace(table.conventions, loss=LOSS, loss_unit=UNIT)
    return dataclasses.replace(table, source=name, conventions=conventions)


def fit_runs(
    runs: Sequence[ExperimentResponse], settings: Settings, name: str = "the table of runs"
) -> OwnFits:
    """Fits a student's completed runs by every method; what cannot be fitted says why."""
    from isoflop.analysis.approaches.approach2 import isoflop_budgets

    table = own_table(runs, settings, name)
    if table is None:
        nothing = tuple(Exponent(method, None, False, "no completed runs") for method in METHODS)
        return OwnFits(0, None, (), nothing, ())
    fitted = [_fit(table, method) for method in METHODS]
    warnings = dict.fromkeys(line for _, lines in fitted for line in lines)
    completed = sum(isinstance(run.status, Completed) for run in runs)
    exponents = tuple(exponent for exponent, _ in fitted)
    return OwnFits(completed, table, isoflop_budgets(table), exponents, tuple(warnings))


def _fit(table: RunTable, method: str) -> tuple[Exponent, tuple[str, ...]]:
    """One method's exponent and its warnings."""
    from isoflop import analysis

    try:
        fit = analysis.fit(table, METHODS[method])
    except UserError as error:
        return Exponent(method, None, False, str(error)), ()
    a = fit.exponents["a"]
    if a is None or not math.isfinite(a):
        return Exponent(method, None, False, NO_EXPONENT), fit.warnings
    return Exponent(method, a, fit.identified.get("a", True)), fit.warnings
