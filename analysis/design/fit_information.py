"""A fit as a design needs it: its own estimate and interval, and the information of its runs there.

The interval is the one that `isoflop fit` gives (of a size or a loss at a budget, the one that `isoflop
predict` gives). The information that each run carries, and the noise, are those of the law linearized at the
fit's parameters, over the runs that the test of misfit does not set aside as outliers.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from isoflop.analysis.compute import per_token
from isoflop.analysis.design.estimate import Estimate, Runs, estimate, gradient_of, linearized
from isoflop.analysis.design.targets import Target
from isoflop.analysis.laws import find_law
from isoflop.analysis.laws.evaluate import float64_on_cpu
from isoflop.analysis.planning.prediction import predict
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.search import covariates
from isoflop.analysis.solver.solver import LEAST_SQUARES, FitProblem
from isoflop.analysis.uncertainty.misfit import usual_runs
from isoflop.analysis.uncertainty.quantities import ends
from isoflop.analysis.uncertainty.resampling import trunks_of
from isoflop.analysis.uncertainty.trunk_noise import posterior
from isoflop.base.errors import UserError


def of_fit(table: RunTable, fitted: LawFit, target: Target) -> tuple[Estimate, Estimate | None]:
    """The target as the fit has it; and by generalized least squares with trunk effects, outliers set aside,
    where that is further from it than its own standard error.

    `table`: the runs that were fitted. Raises `UserError` where the fit has no such target, or its runs leave
    an end of the target's interval open.
    """
    law, cost, C_K = find_law(fitted.law or ""), per_token(table), ends(table)
    trunk_R = trunks_of(table)
    own_R = np.arange(len(table)) if trunk_R is None else trunk_R
    runs = Runs(table.N_R, table.D_R, table.loss_R, own_R, covariates(table, law))
    design = FitProblem(law, runs.N_R, runs.D_R, "log", LEAST_SQUARES, runs.extra)
    with float64_on_cpu():
        theta_P = np.nan_to_num(np.asarray(law.encode(fitted.params_P, *design.centre), dtype=float))
    J_RxP, residual_R, free_P = linearized(design, theta_P, np.log(runs.loss_R), np.arange(len(table)))
    keep_R = usual_runs(J_RxP, residual_R, runs.inputs, runs.trunk_R)
    usual = runs.at(keep_R)
    value, low, high, level = _reported(fitted, target)
    known = Estimate(
        target=target,
        value=value,
        interval=(low, high),
        half_width=target.width(*(math.log(x) if target.relative else x for x in (low, high))),
        level=level,
        params=dict(zip(law.parameters, fitted.params_P.tolist(), strict=True)),
        noise=posterior(J_RxP[keep_R], residual_R[keep_R], usual.trunk_R),
        misfit=fitted.misfit,
        design=design,
        theta_P=theta_P,
        free_P=free_P,
        gradient_P=np.nan_to_num(gradient_of(target, design, theta_P, C_K, cost)[free_P]),
    )
    try:
        other = estimate(usual, law, target, cost, C_K, level)
    except UserError:
        return known, None
    return known, other if _apart(known, other) else None


def _reported(fitted: LawFit, target: Target) -> tuple[float, float, float, float]:
    """Estimate, interval and its level, as `isoflop fit` and `isoflop predict` print them."""
    if fitted.intervals is None:
        raise UserError("a design needs the fit's intervals: fit with a bootstrap")
    if target.flops is None:
        value, interval = fitted.exponents[target.name], fitted.intervals.exponents[target.name]
    else:
        found = predict(fitted, target.flops, force=True)
        value = found.n_opt if target.name == "n_opt" else found.loss
        interval = found.n_interval if target.name == "n_opt" else found.loss_interval
    low, high = interval or (None, None)
    if value is None or not math.isfinite(value):
        raise UserError(
            f"the fitted {fitted.law} has no {target}: its loss falls to an end of the sizes; add sizes"
        )
    if low is None or high is None:
        raise UserError(f"these runs leave the interval of {target} open: add sizes and budgets first")
    return value, low, high, fitted.intervals.level


def _apart(known: Estimate, other: Estimate) -> bool:
    """The other estimate lies further from the fit's than the other's standard error."""
    if not math.isfinite(other.half_width):
        return False
    here, there = (math.log(e.value) if e.target.relative else e.value for e in (known, other))
    spread = math.log1p(other.half_width) if known.target.relative else other.half_width
    return abs(here - there) > spread / float(ndtri((1 + other.level) / 2))
