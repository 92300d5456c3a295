"""How sure: profiles of what a reader asks for first, and whether the approaches agree."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from isoflop.analysis.comparison.agreement import Agreement, agreement
from isoflop.analysis.figures.profiles import FIRST
from isoflop.analysis.laws.constrained import Map
from isoflop.analysis.laws.evaluate import float64_on_cpu
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import LawFit, Profiles
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.fitted_law import one_law
from isoflop.analysis.solver.search import fit_problem
from isoflop.analysis.solver.solver import FitProblem, Solutions, bounds_of, solve
from isoflop.analysis.uncertainty.quantities import profile_intervals

NOISELESS = 1e-8
"""Standard deviation of the log loss about the fit below which there is no noise to judge a rise by."""

SAME_OPTIMUM = 0.01
"""Exponents nearer than this are of one optimum."""


def law_profiles(table: RunTable, options: FitOptions, whole: LawFit) -> Profiles | None:
    """Profiles about the fit, as `LawFit.profiles`; None where no intervals are asked for, where the runs
    leave no scatter, and for a law of the envelope.
    """
    if whole.profiles is not None:
        return whole.profiles
    fitted = one_law(table, options, "a report")
    law = fitted.law
    noise = whole.conventions.residual_log_sd
    spare = len(table) - len(law.parameters)
    if not options.bootstrap or law.envelope or spare < 1 or not np.isfinite(noise) or noise < NOISELESS:
        return None
    # Of a law without these, its first parameters and a.
    names = FIRST if set(FIRST[:3]) <= set(law.parameters) else (*law.parameters[:3], "a")
    problem = fit_problem(table, law, options)
    return profile_intervals(
        problem, table, _optimum_of(problem, table, fitted.map, whole), whole, options, names
    )


def _optimum_of(problem: FitProblem, table: RunTable, how: Map, whole: LawFit) -> Solutions:
    """Return the fit's own optimum: where others fit as well, a new search might end in one of those."""
    with float64_on_cpu():
        free = jnp.asarray(whole.params_P[list(how.free)])
        theta_P = np.asarray(problem.law.encode(free, *problem.centre))
    theta_P = np.clip(np.nan_to_num(theta_P), *bounds_of(problem.law))
    return solve(problem, theta_P[None], table.loss_R[None], np.ones((1, len(table))), warm=True)


def agreements(table: RunTable, options: FitOptions, whole: LawFit) -> tuple[Agreement, ...]:
    """Approaches 1 and 2 against the fit; none where its exponent is one of several that fit as well."""
    a = whole.exponents["a"]
    found = agreement(table, options)
    return tuple(each for each in found if a is not None and abs(each.surface_exponent - a) < SAME_OPTIMUM)
