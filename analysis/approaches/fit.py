"""One call from a run table to a `LawFit`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from isoflop.analysis.approaches.approach1 import approach1
from isoflop.analysis.approaches.approach2 import approach2
from isoflop.analysis.approaches.approach3 import approach3
from isoflop.analysis.approaches.approach_result import ApproachResult
from isoflop.analysis.approaches.forms import fit_forms
from isoflop.analysis.approaches.holdout import score, split
from isoflop.analysis.columns.metrics import OWN_LOSS
from isoflop.analysis.constraints import Constraints
from isoflop.analysis.conventions import FitConventions
from isoflop.analysis.laws import find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.provenance import provenance_of
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.search import covariates
from isoflop.analysis.tables.cells import as_texts
from isoflop.analysis.uncertainty.fixed_values import sensitivities
from isoflop.analysis.uncertainty.run_noise import (
    ResidualNoise,
    RunNoise,
    noise_warnings,
    residual_noise,
    seed_noise,
)
from isoflop.base.errors import UserError

APPROACHES = {1: approach1, 2: approach2, 3: approach3}


def fit(table: RunTable, options: FitOptions | None = None) -> LawFit:
    """Fit `table` as `options` say; the defaults are approach 3 with the law `chinchilla`.

    With a holdout the numbers are those of the runs below it, and `holdout` scores the runs above.

    Raises:
        UserError: the table cannot carry what is asked, in one line with the mend. A doubtful fit is no
            error: see its certificate, `identified` and `warnings`.
    """
    options = options or FitOptions()
    whole = prepare(table, options)
    fitted, held = choose(whole, options)
    result = APPROACHES[options.approach](fitted, options)
    noise = seed_noise(fitted)
    found = LawFit(
        approach=options.approach,
        law=result.law,
        params=result.params,
        exponents=result.exponents,
        objective=result.objective,
        intervals=result.intervals(options),
        certificate=result.certificate,
        identified=result.identified,
        budgets=result.budgets,
        holdout=None,
        n_runs=len(fitted),
        excluded=fitted.excluded,
        conventions=_conventions(fitted, result, noise),
        warnings=(*fitted.warnings, *result.warnings, *noise_warnings(noise, fitted)),
        misfit=result.misfit,
        next_runs=result.next_runs,
        profiles=result.profiles,
        constraints=_constraints(result, fitted, options),
        provenance=provenance_of(whole),
        noise=noise,
        residual_noise=_residual_noise(fitted, result),
        forms=fit_forms(fitted, options, result) if _mixes(options, result) else None,
    )
    return found if held is None else dataclasses.replace(found, holdout=score(found, held, options))


def _constraints(result: ApproachResult, table: RunTable, options: FitOptions) -> Constraints | None:
    """What was fixed, tied and shared, and how the forecast moves with what was fixed."""
    if result.constraints is None or result.fitted is None:
        return None
    full_P = np.array(list(result.params.values()), dtype=float)
    moved = sensitivities(result.fitted, table, full_P, options)
    return dataclasses.replace(result.constraints, sensitivity=moved)


def prepare(table: RunTable, options: FitOptions) -> RunTable:
    """The table under the conventions asked for, every run once, without the runs to be dropped."""
    return drop_worst(each_once(recounted(table, options), options.by), options.drop_worst)


def recounted(table: RunTable, options: FitOptions) -> RunTable:
    """The table under the conventions asked for."""
    count = options.count or table.conventions.count
    return table.counted(count, options.flops or table.conventions.flops)


def each_once(table: RunTable, by: str | None = None) -> RunTable:
    """The table with one row for a run that a sweep lists at several values of its axes; the others are
    listed as excluded. `by`: a column, in each value of which a run may stand."""
    if table.column("axes") is None or "cell_id" not in table.frame.columns:
        return table
    cell_R = as_texts(table.frame, "cell_id")
    parts = {"cell": cell_R, "N": table.N_R, "D": table.D_R, "loss": table.loss_R}
    if by is not None and by in table.frame.columns:
        parts["by"] = as_texts(table.frame, by)
    again_R = (pd.DataFrame(parts).duplicated() & cell_R.notna()).to_numpy()
    return table.where(~again_R, "the run stands at another value of an axis too, and counts once")


def choose(table: RunTable, options: FitOptions) -> tuple[RunTable, RunTable | None]:
    """The runs to fit, and those held out, if any; an envelope law's are those on the envelope."""
    if options.approach == 3 and find_law(options.law).envelope:
        table = on_envelope(table)
    return (table, None) if options.holdout is None else split(table, options.holdout)


def on_envelope(table: RunTable) -> RunTable:
    """The runs that no run of at most their compute beats; the others are listed as excluded."""
    order = np.lexsort((table.loss_R, table.C_R))
    loss = table.loss_R[order]
    keep_R = np.zeros(len(table), dtype=bool)
    keep_R[order] = loss <= np.minimum.accumulate(loss)
    return table.where(keep_R, "a run of no more compute has a lower loss")


def drop_worst(table: RunTable, K: int) -> RunTable:
    """The table without its K runs of highest loss, which are listed as excluded."""
    if K == 0:
        return table
    if len(table) <= K:
        raise UserError(f"--drop-worst {K} leaves no run: {table.source} has {len(table)}")
    keep_R = np.ones(len(table), dtype=bool)
    keep_R[np.argsort(table.loss_R, kind="stable")[-K:]] = False
    return table.where(keep_R, f"one of the {K} runs of highest loss, dropped as asked")


def _residual_noise(table: RunTable, result: ApproachResult) -> ResidualNoise | None:
    if result.fitted is None:
        return None
    law, free = result.fitted.whole, len(result.fitted.law.parameters)
    params_P = np.array(list(result.params.values()), dtype=float)
    predicted_R = evaluate(law, params_P, table.N_R, table.D_R, *covariates(table, law))
    return residual_noise(table, np.log(table.loss_R) - np.log(predicted_R), free)


def _mixes(options: FitOptions, result: ApproachResult) -> bool:
    """Whether other laws are fitted too: to a surface, and where there are intervals at all."""
    surface = result.fitted is not None and not (result.fitted.whole.envelope or result.fitted.groups)
    return bool(options.forms and options.bootstrap and surface)


def _conventions(table: RunTable, result: ApproachResult, noise: RunNoise | None) -> FitConventions:
    ranges = [(float(x.min()), float(x.max())) for x in (table.N_R, table.D_R, table.C_R)]
    notes: dict[str, Any] = dict(result.notes)
    return FitConventions(
        **vars(table.conventions),
        **notes,
        flops_per_token=result.cost,
        flops_range=ranges[2],
        n_range=ranges[0],
        d_range=ranges[1],
        input_loss_range=_input_loss_range(table),
        residual_log_sd=result.noise,
        seed_sd_nats=noise.nats if noise else None,
        seed_groups=noise.cells_repeated if noise else 0,
    )


def _input_loss_range(table: RunTable) -> tuple[float, float] | None:
    loss_R = table.column(OWN_LOSS)
    return None if loss_R is None else (float(loss_R.min()), float(loss_R.max()))
