"""Scoring registered forecasts: what was measured against what was predicted, beside the baselines.

Losses and errors are in nats per token; an error is measured less predicted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from isoflop.analysis.isoflops.minima import by_parabola, by_size
from isoflop.analysis.planning.minimum_forecast import MinimumForecast
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base import durable
from isoflop.base.errors import UserError
from isoflop.base.formatting import compact
from isoflop.base.json_values import Serializable
from isoflop.sweeps.forecasts.command_line import going_on
from isoflop.sweeps.plan import LEAST_SIZES
from isoflop.sweeps.progress.table_files import RUNS, read_rows
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.registered import (
    SCORE,
    Registered,
    RegisteredCell,
    folder_of,
    hash_of_runs,
    read_registered,
)
from isoflop.sweeps.row import Row


@dataclass(frozen=True)
class CellScore:
    """A cell against its forecast. A cell that diverged has no loss, and is outside every interval."""

    cell_id: str
    d_model: int
    init_seed: int
    n_params: int
    n_tokens: int
    predicted: float
    interval: Interval
    loss: float | None
    error: float | None
    inside: bool | None
    """None where the forecast has no interval."""


@dataclass(frozen=True)
class MeasuredMinimum:
    """The minimum of the least-squares parabola through the budget's cells, in log N (parameters).

    Where they don't bracket one, `n_opt` is None, `loss` the mean at the best size, which the minimum is no
    higher than, and `doubt` says so.
    """

    loss: float | None
    n_opt: float | None
    doubt: str = ""


@dataclass(frozen=True)
class MinimumScore:
    """One method's forecast of the minimum against the measured one.

    `n_error`: log of measured over predicted N_opt. `interval_score` of the loss, nats: the width of the
    interval, and 2 / (1 - level) times what it misses by (Gneiting and Raftery 2007, equation 43). Ranks
    among the methods, 1 the best, by absolute error or by interval score. None where a value is missing.
    """

    forecast: MinimumForecast
    loss_error: float | None
    loss_inside: bool | None
    n_error: float | None
    n_inside: bool | None
    interval_score: float | None
    loss_rank: int | None = None
    n_rank: int | None = None
    interval_rank: int | None = None


@dataclass(frozen=True)
class Score(Serializable):
    """A registered forecast against the runs that came after it. `sha256`: the forecast's; `methods`: the
    fit's forecast, then the baselines."""

    flops: float
    sha256: str
    registered: str
    """When, by the forecast itself, UTC."""
    level: float
    measured: MeasuredMinimum
    methods: tuple[MinimumScore, ...]
    cells: tuple[CellScore, ...]
    mean_abs_error: float | None
    """Of the cells that have a loss."""
    coverage: float | None
    """Share of the cells inside their intervals."""
    warnings: tuple[str, ...]


def score(folder: Path) -> tuple[Score, ...]:
    """Score every forecast of a sweep's folder, and write each score beside its forecast.

    Raises `UserError` for a folder without a forecast; for a forecast, or runs that it was made of, that have
    changed; and for cells that are not trained yet.
    """
    forecasts = read_registered(folder)
    if not forecasts:
        raise UserError(
            f"{folder} has no registered forecast: make one with isoflop register {folder} --flops C, before "
            "the budget's runs"
        )
    rows = {row.cell_id: row for row in read_rows(Store(folder), (RUNS,))}
    for registered in forecasts:
        _refuse_other_runs(folder, registered, rows)
    for registered in forecasts:
        _refuse_missing(folder, registered, rows)
    scores = tuple(_score(registered, rows) for registered in forecasts)
    for each in scores:
        text = json.dumps(each.to_json(), indent=1) + "\n"
        durable.write(folder_of(folder, each.flops) / SCORE, text)
    return scores


def _refuse_other_runs(folder: Path, registered: Registered, rows: Mapping[str, Row]) -> None:
    """Raises `UserError` unless the runs that the forecast was made of are in the table as they were."""
    there = [row for cell in registered.runs if (row := rows.get(cell)) and row.is_finished]
    gone = len(registered.runs) - len(there)
    which = f"the forecast for {compact(registered.flops)} FLOPs was made of {len(registered.runs)} runs"
    if gone:
        raise UserError(
            f"{folder / RUNS} is another table: {which}, of which it lacks {gone}: restore it, or score the "
            "forecast in the folder that it was registered in"
        )
    if hash_of_runs(there) != registered.runs_sha256:
        raise UserError(f"{folder / RUNS} has changed: {which}, whose numbers are others now: restore it")


def _refuse_missing(folder: Path, registered: Registered, rows: Mapping[str, Row]) -> None:
    """Raises `UserError` while cells are not trained yet."""
    ids = [cell.cell_id for cell in registered.cells]
    missing = sum(cell not in rows or rows[cell].status not in ("finished", "diverged") for cell in ids)
    if missing:
        raise UserError(
            f"{missing} of the {len(ids)} cells registered at {compact(registered.flops)} FLOPs are not "
            f"trained: go on with {going_on(folder)}"
        )


def _score(registered: Registered, rows: Mapping[str, Row]) -> Score:
    cells = tuple(_cell_score(cell, rows[cell.cell_id]) for cell in registered.cells)
    measured = _measured(cells)
    errors = [abs(cell.error) for cell in cells if cell.error is not None]
    inside = [cell.inside for cell in cells if cell.inside is not None]
    lost = sum(cell.loss is None for cell in cells)
    diverged = f"{lost} of {len(cells)} cells diverged: they count as outside their intervals" if lost else ""
    forecasts = (registered.forecast, *registered.baselines)
    return Score(
        flops=registered.flops,
        sha256=registered.sha256,
        registered=registered.provenance.time,
        level=registered.level,
        measured=measured,
        methods=_ranked([_minimum_score(each, measured, registered.level) for each in forecasts]),
        cells=cells,
        mean_abs_error=float(np.mean(errors)) if errors else None,
        coverage=float(np.mean(inside)) if inside else None,
        warnings=tuple(filter(None, (measured.doubt, diverged))),
    )


def _cell_score(cell: RegisteredCell, row: Row) -> CellScore:
    error = None if row.loss is None else row.loss - cell.loss
    return CellScore(
        cell_id=row.cell_id,
        d_model=row.d_model,
        init_seed=row.init_seed,
        n_params=cell.n_params,
        n_tokens=cell.n_tokens,
        predicted=cell.loss,
        interval=cell.interval,
        loss=row.loss,
        error=error,
        inside=_is_inside(math.inf if row.loss is None else row.loss, cell.interval),
    )


def _measured(cells: Sequence[CellScore]) -> MeasuredMinimum:
    pairs = [(cell.n_params, cell.loss) for cell in cells if cell.loss is not None]
    if len({n for n, _ in pairs}) < LEAST_SIZES:
        return MeasuredMinimum(None, None, f"fewer than {LEAST_SIZES} sizes have a loss: there is no minimum")
    N_R, loss_R = np.array(pairs, dtype=float).T
    found = by_parabola(N_R, loss_R[None])
    if found.bracketed_B[0]:
        return MeasuredMinimum(float(found.loss_B[0]), float(np.exp(found.x_B[0])))
    x_K, mean_1xK = by_size(N_R, loss_R[None])
    best = int(np.argmin(mean_1xK[0]))
    size = {0: "smallest", len(x_K) - 1: "largest"}.get(best, "best")
    return MeasuredMinimum(
        loss=float(mean_1xK[0, best]),
        n_opt=None,
        doubt=f"the cells bracket no minimum: the loss given is the mean at the {size} size, and the minimum "
        "may lie lower and elsewhere",
    )


def _minimum_score(forecast: MinimumForecast, measured: MeasuredMinimum, level: float) -> MinimumScore:
    loss, n_opt = measured.loss, measured.n_opt
    return MinimumScore(
        forecast=forecast,
        loss_error=None if loss is None or forecast.loss is None else loss - forecast.loss,
        loss_inside=None if loss is None else _is_inside(loss, forecast.loss_interval),
        n_error=None if n_opt is None or forecast.n_opt is None else math.log(n_opt / forecast.n_opt),
        n_inside=None if n_opt is None else _is_inside(n_opt, forecast.n_interval),
        interval_score=None if loss is None else _interval_score(loss, forecast.loss_interval, level),
    )


def _is_inside(value: float, interval: Interval | None) -> bool | None:
    """None without an interval; an open end holds whatever lies beyond."""
    if interval is None or interval == (None, None):
        return None
    low, high = interval
    return (low is None or low <= value) and (high is None or value <= high)


def _interval_score(value: float, interval: Interval | None, level: float) -> float | None:
    low, high = interval or (None, None)
    if low is None or high is None:
        return None
    return high - low + 2 / (1 - level) * max(low - value, value - high, 0.0)


def _ranked(scores: Sequence[MinimumScore]) -> tuple[MinimumScore, ...]:
    by_loss, by_n, by_interval = (
        _ranks([getattr(score, name) for score in scores])
        for name in ("loss_error", "n_error", "interval_score")
    )
    return tuple(
        replace(score, loss_rank=loss, n_rank=n, interval_rank=interval)
        for score, loss, n, interval in zip(scores, by_loss, by_n, by_interval, strict=True)
    )


def _ranks(values: Sequence[float | None]) -> list[int | None]:
    """1 for the value nearest to zero; equal ones share a rank, and None has none."""
    sizes = [None if value is None else abs(value) for value in values]
    return [
        None if own is None else 1 + sum(other is not None and other < own for other in sizes)
        for own in sizes
    ]
