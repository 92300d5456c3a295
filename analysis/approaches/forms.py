"""The other laws of a predictive interval: which take part, and their fits to the same runs."""

from __future__ import annotations

import dataclasses

import numpy as np

from isoflop.analysis.approaches.approach3 import bootstrap
from isoflop.analysis.approaches.approach_result import ApproachResult
from isoflop.analysis.columns.metrics import LOSS
from isoflop.analysis.laws import Law, find_law, known_laws
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.search import ONE_CALL, fit_problem, search
from isoflop.analysis.uncertainty.law_forms import LawForm, LawForms
from isoflop.base.errors import UserError

FORM_DRAWS = 100
"""Bootstrap draws of each law: a mixture of six then has several hundred."""
WORST_SPREAD = 3.0
"""A law whose residuals spread by more than this factor over the best law's takes no part. Chosen with equal
parts for all others by rolling hold-outs of thirteen tables: see docs/decisions.md."""
FURTHER_RUNS = 3
"""Runs beyond its parameters that a law needs."""


def fit_forms(table: RunTable, options: FitOptions, own: ApproachResult) -> LawForms:
    """Every law that describes runs (no envelope) and that the table has columns for, fitted as `options`
    have it, with some bootstrap draws."""
    found, left_out = [], {}
    for name in known_laws():
        law = find_law(name)
        if name == options.law or law.envelope or not law.competes or law.target != LOSS:
            continue
        try:
            found.append(_fitted(table, law, dataclasses.replace(options, law=name)))
        except UserError as error:
            left_out[name] = str(error)
    best = min([own.noise, *(form.residual_log_sd for form in found)])
    kept = []
    for form in found:
        if form.residual_log_sd <= WORST_SPREAD * best:
            kept.append(form)
        else:
            left_out[form.law] = (
                f"{form.law} leaves residuals {form.residual_log_sd / best:.2g} times those of the best law"
            )
    return LawForms(tuple(kept), left_out)


def _fitted(table: RunTable, law: Law, options: FitOptions) -> LawForm:
    if len(table) < len(law.parameters) + FURTHER_RUNS:
        raise UserError(f"{law.name} has {len(law.parameters)} parameters, too many for {len(table)} runs")
    problem = fit_problem(table, law, options)
    for covariate, values in zip(law.covariates, problem.extra, strict=True):
        if np.allclose(values, covariate.default(table.N_R, table.D_R, table.C_R), rtol=1e-3):
            raise UserError(f"{law.name} needs {covariate.column} that differ from their default")
    solutions = search(problem, table.loss_R, ONE_CALL)
    params_P = solutions.params_SxP[solutions.best]
    residual_R = np.log(table.loss_R) - np.log(evaluate(law, params_P, *problem.inputs))
    spread = float(np.sqrt((residual_R**2).sum() / max(len(table) - len(params_P), 1)))
    if not np.isfinite(spread):
        raise UserError(f"{law.name} predicts no finite loss for some of these runs")
    drawn, _ = bootstrap(problem, table, solutions, options, FORM_DRAWS)
    draws = tuple(tuple(float(f"{x:.6g}") for x in draw) for draw in drawn.params_SxP)
    return LawForm(options.law, tuple(map(float, params_P)), draws, spread)
