"""A table's fit problem, and its solution from every start of the law's box."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.columns.metrics import LOSS, OWN_LOSS
from isoflop.analysis.constraints import group_name
from isoflop.analysis.laws import Law
from isoflop.analysis.laws.law import Covariate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.solver import CHUNK, LEAST_SQUARES, FitProblem, Solutions, solve
from isoflop.analysis.solver.starts import box_starts
from isoflop.analysis.uncertainty.seed_weights import noise_scale
from isoflop.base.errors import UserError

ONE_CALL = CHUNK
"""Starts of a search that is one of many: as many as the solver takes in one call, which cost what fewer
do."""


def fit_problem(table: RunTable, law: Law, options: FitOptions) -> FitProblem:
    """The problem that the options set on this table: what its fits, resamples and profiles share."""
    if law.sized and not table.sized:
        raise UserError(f"{law.name} needs n_params and n_tokens, and {table.source} has not both")
    delta = options.delta if options.loss == "huber" else LEAST_SQUARES
    scale = noise_scale(table) if options.weights == "seeds" else 1.0
    extra, weight = covariates(table, law), options.overestimate_weight
    return FitProblem(law, table.N_R, table.D_R, options.space, delta, extra, weight, scale)


def covariates(table: RunTable, law: Law) -> tuple[np.ndarray, ...]:
    """The law's covariates over the table's runs. Raises `UserError` where the table lacks one."""
    found = []
    for covariate in law.covariates:
        values = table.C_R if covariate.column == "flops" else _values(table, covariate)
        if values is None:
            raise UserError(
                f"{law.name} needs {covariate.column} ({covariate.meaning}), and {table.source} has no such "
                f"column: rename one with --columns {covariate.column}=..., or choose another law"
            )
        if covariate.groups:
            found.append(_group_numbers(table, covariate, values))
            continue
        numbers = np.asarray(values, dtype=float)
        if not np.all(np.isfinite(numbers) & (covariate.signed | (numbers > 0))):
            kind = "number" if covariate.signed else "positive number"
            raise UserError(f"{table.source}: {covariate.column} must be a {kind} in every row")
        found.append(numbers)
    return tuple(found)


def _values(table: RunTable, covariate: Covariate) -> np.ndarray | None:
    """The covariate's column, or what follows from others; None where the table has neither.

    The loss is elsewhere where another metric is fitted in its place.
    """
    own_loss = covariate.column == LOSS and table.metric != LOSS
    values = table.column(OWN_LOSS if own_loss else covariate.column)
    for derived in covariate.derived:
        given = [table.column(name) for name in derived.columns]
        if values is None and all(each is not None for each in given):
            values = derived.of(*given)
    return values


def _group_numbers(table: RunTable, covariate: Covariate, values: np.ndarray) -> np.ndarray:
    """The number of each run's group, from 1."""
    names = [group_name(value) for value in values]
    if unknown := sorted(set(names).difference(covariate.groups)):
        raise UserError(
            f"{table.source}: no run of {covariate.column} {', '.join(unknown)} is among those fitted, so "
            "that there is no law for it: leave it out with --where"
        )
    return 1.0 + np.array([covariate.groups.index(name) for name in names], dtype=float)


def search(problem: FitProblem, loss_R: np.ndarray, starts: int) -> Solutions:
    """Solve from every start of the law's box."""
    theta_SxP = box_starts(problem, loss_R, starts)
    solutions = solve(problem, theta_SxP, loss_R[None], np.ones((1, len(loss_R))))
    if not np.isfinite(solutions.objective_S).any():
        raise UserError(
            f"{problem.law.name} cannot be evaluated on these runs from any start: check N, D and loss"
        )
    return solutions
