"""Registering a forecast: the fit to the runs that are there, what it says of a larger budget, and the cells
that will show whether it was right."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from isoflop.analysis.approaches.fit import fit as fit_table
from isoflop.analysis.isoflops.groups import NEARLY_EQUAL
from isoflop.analysis.options import FitOptions
from isoflop.analysis.planning.baselines import baselines, by_fit
from isoflop.analysis.planning.minimum_forecast import MinimumForecast
from isoflop.analysis.planning.prediction import Prediction, predict
from isoflop.analysis.planning.run_forecasts import forecast_runs
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import load_runs
from isoflop.base.errors import UserError
from isoflop.base.formatting import compact
from isoflop.base.provenance import provenance
from isoflop.sweeps.forecasts.command_line import going_on
from isoflop.sweeps.forecasts.trained_sweep import TrainedSweep
from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.progress.table_files import RUNS, read_rows
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.registered import (
    Registered,
    RegisteredCell,
    digest_of,
    folder_of,
    hash_of_runs,
    read_registered,
    write_registered,
)
from isoflop.sweeps.row import Row


def register(
    folder: Path,
    flops: float,
    options: FitOptions,
    widths: Sequence[int] = (),
    force: bool = False,
) -> Registered:
    """Fit the runs of a sweep's folder, and write what the fit forecasts for a budget of `flops` FLOPs into
    the folder, for good; return it. The sweep trains the forecast's cells when it goes on.

    Args:
        folder: a sweep's folder whose grid is trained.
        flops: a budget above all that the folder has runs of.
        options: of the fit, which is of approach 3 and holds nothing out.
        widths: the widths to be trained; by default as many as the config's `sizes`, around the forecast's
            N_opt.
        force: register what a fit says that is not certified or not identified.

    Raises:
        UserError: the folder has no finished grid, or has runs of such a budget; the budget is registered
            already; the corpus has too few tokens; or as `predict` does.
    """
    if options.approach != 3 or options.holdout is not None:
        raise UserError("a forecast is made by approach 3 of all runs: drop approach and holdout")
    sweep = TrainedSweep.read(folder)
    rows = [row for row in read_rows(Store(folder), (RUNS,)) if row.is_finished]
    _refuse_budget(folder, flops, rows)
    table = load_runs(folder)
    fit = fit_table(table, dataclasses.replace(options, forms=True))
    predicted = predict(fit, flops, force=force)
    chosen = widths or sweep.widths_around(predicted.n_opt, fit.conventions.count, flops)
    cells = sweep.cells(flops, sorted(set(chosen)))
    others, left_out = baselines(table, fit, flops, options)
    fit_text = json.dumps(fit.to_json(), indent=1) + "\n"
    registered = Registered(
        sha256="",
        sweep=sweep.config.name,
        flops=flops,
        provenance=provenance(),
        fit_sha256=hashlib.sha256(fit_text.encode()).hexdigest(),
        runs=tuple(sorted(row.cell_id for row in rows)),
        runs_sha256=hash_of_runs(rows),
        count=fit.conventions.count,
        level=options.level,
        forecast=_forecast_minimum(fit, predicted, cells),
        baselines=others,
        cells=_forecast_cells(fit, cells, options.seed),
        warnings=(*predicted.warnings, *left_out),
    )
    registered = replace(registered, sha256=digest_of(registered.to_json()))
    write_registered(folder, registered, fit_text)
    return registered


def _refuse_budget(folder: Path, flops: float, rows: Sequence[Row]) -> None:
    if not (np.isfinite(flops) and flops > 0):
        raise UserError(f"--flops {flops}: give a positive number of FLOPs, such as 1e18")
    if not rows:
        raise UserError(f"{folder} has no finished run: go on with {going_on(folder)}")
    if folder_of(folder, flops).exists():
        raise UserError(
            f"{folder_of(folder, flops)} is there: {compact(flops)} FLOPs has its forecast, and a second one "
            f"would be none; its runs are trained by {going_on(folder)}"
        )
    largest = max(row.budget for row in rows)
    if flops <= largest * (1 + NEARLY_EQUAL):
        raise UserError(
            f"--flops {compact(flops)}: {folder} has runs of {compact(largest)} FLOPs: register a larger "
            "budget, or see what the smaller ones predict of it by isoflop fit --holdout"
        )
    for other in read_registered(folder):
        if abs(np.log(flops / other.flops)) <= np.log1p(NEARLY_EQUAL):
            raise UserError(
                f"--flops {compact(flops)} is nearly {compact(other.flops)}, which has its forecast: their "
                "runs would be one IsoFLOP curve; choose another budget"
            )


def _forecast_minimum(fit: LawFit, predicted: Prediction, cells: Sequence[PlannedCell]) -> MinimumForecast:
    """The minimum as the curve through these cells will show it."""
    params = [float(p.cell.recipe.ledger.params(fit.conventions.count)) for p in cells]
    sizes = np.unique(params)
    return by_fit(fit, predicted, sizes, max(1, len(params) // len(sizes)))


def _forecast_cells(fit: LawFit, cells: Sequence[PlannedCell], seed: int) -> tuple[RegisteredCell, ...]:
    params = [p.cell.recipe.ledger.params(fit.conventions.count) for p in cells]
    tokens = [p.cell.tokens for p in cells]
    losses, intervals = forecast_runs(fit, np.array(params, float), np.array(tokens, float), seed)
    return tuple(
        RegisteredCell(p.cell.cell_id, n_params, p.cell.tokens, p.cell.flops, float(loss), interval, p)
        for p, n_params, loss, interval in zip(cells, params, losses, intervals, strict=True)
    )
