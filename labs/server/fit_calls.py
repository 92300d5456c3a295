"""Calls that look at the caller's own runs: the IsoFLOP figure's numbers, and what a fitter warns of.

Nothing but the caller's completed runs enters, so that no truth can be read off.
"""

from __future__ import annotations

import threading
import time
from functools import cache

import numpy as np
from fastapi import APIRouter, HTTPException

from isoflop.labs.contract.additions import (
    CurvePoint,
    FitWarnings,
    IsoflopBudget,
    IsoflopResponse,
    MeasuredRun,
)
from isoflop.labs.contract.messages import ExperimentResponse
from isoflop.labs.own_fits import NO_EXPONENT, fit_runs, own_table
from isoflop.labs.server.gate import Caller, StudentRoute, too_many
from isoflop.labs.server.limits import SlidingWindow
from isoflop.labs.server.service import Lent, Service
from isoflop.labs.store.experiments import list_experiments
from isoflop.labs.store.students import Student

FITS_A_MINUTE = 6
"""Of one student: a fit takes a second or two."""
WAIT_SECONDS = 20.0
"""What a fit waits for another student's."""
CURVE_POINTS = 40
NAME = "your table of runs"

router = APIRouter(route_class=StudentRoute)
_fits = SlidingWindow(FITS_A_MINUTE, 60.0)
_one_at_a_time = threading.Lock()


@router.get("/isoflop")
def get_isoflop(caller: Caller, service: Lent) -> IsoflopResponse:
    """Your completed runs by IsoFLOP budget, and the parabola through each: the dashboard's figure."""
    from isoflop.analysis.approaches.approach2 import isoflop_budgets
    from isoflop.analysis.isoflops.groups import isoflop_groups

    settings, own = service.lab.settings, _runs(caller, service)
    every, table = (own_table(own, settings, NAME, best_of_each=best) for best in (False, True))
    if every is None or table is None:
        return IsoflopResponse(runs=(), budgets=())
    groups, numbers = isoflop_groups(table), table.frame["cell_id"].to_numpy()
    budget_of = {int(numbers[row]): k for k, group in enumerate(groups) for row in group.rows}
    runs = [
        MeasuredRun(
            experiment_id=int(number),
            n_params_non_embedding=int(every.N_R[row]),
            n_tokens=int(every.D_R[row]),
            flops=float(every.C_R[row]),
            loss=float(every.loss_R[row]),
            budget=budget_of.get(int(number)),
        )
        for row, number in enumerate(every.frame["cell_id"])
    ]
    found = isoflop_budgets(table)
    budgets = [
        IsoflopBudget(
            flops=group.flops,
            curve=_curve(table.N_R[group.rows], table.loss_R[group.rows]) if settings.show_fits else (),
            minimum=_point(budget.n_opt, budget.loss_opt) if settings.show_fits else None,
        )
        for group, budget in zip(groups, found, strict=True)
    ]
    return IsoflopResponse(runs=tuple(runs), budgets=tuple(budgets))


@router.get("/fit", responses={403: {"description": "The lab keeps fits to itself"}})
def get_fit_warnings(caller: Caller, service: Lent) -> FitWarnings:
    """What a fitter warns of in your completed runs: an optimum at the edge, exponents that they leave open.
    At most six a minute."""
    if not service.lab.settings.show_fits:
        raise HTTPException(403, "this lab leaves fitting to you")
    if wait := _fits.wait(f"{service.lab.settings.lab_id} {caller.id}", time.monotonic()):
        raise too_many(wait)
    runs = _runs(caller, service)
    if not _one_at_a_time.acquire(timeout=WAIT_SECONDS):
        raise too_many(WAIT_SECONDS)
    try:
        _keep_off_accelerators()
        fits = fit_runs(runs, service.lab.settings, NAME)
    finally:
        _one_at_a_time.release()
    parametric = fits.exponents[-1]
    refused = tuple(one.why_none for one in fits.exponents if one.why_none not in ("", NO_EXPONENT))
    return FitWarnings(
        n_runs=fits.n_completed,
        identified=None if parametric.a is None and not fits.warnings else parametric.identified,
        warnings=tuple(dict.fromkeys((*fits.warnings, *refused))),
    )


def _runs(caller: Student, service: Service) -> list[ExperimentResponse]:
    with service.store.read() as connection:
        return list_experiments(connection, caller.id)


def _curve(N_R: np.ndarray, loss_R: np.ndarray) -> tuple[CurvePoint, ...]:
    from isoflop.analysis.isoflops.minima import curve_through

    N_M = np.geomspace(N_R.min(), N_R.max(), CURVE_POINTS)
    loss_M = curve_through("parabola", N_R, loss_R, N_M)
    return tuple(CurvePoint(n_params=float(N), loss=float(loss)) for N, loss in zip(N_M, loss_M, strict=True))


def _point(n_params: float | None, loss: float | None) -> CurvePoint | None:
    return None if n_params is None or loss is None else CurvePoint(n_params=n_params, loss=loss)


@cache
def _keep_off_accelerators() -> None:
    """Fits run on the CPU: an accelerator is the workers'."""
    import jax

    jax.config.update("jax_platforms", "cpu")
