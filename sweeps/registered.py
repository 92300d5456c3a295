"""Registered forecasts: what a sweep's folder says of a budget before any run of that budget.

forecasts/FLOPS/forecast.json   the forecast, with the SHA-256 of the rest of it
forecasts/FLOPS/fit.json        the fit that it was made with
forecasts/FLOPS/score.json      what came of it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoflop.analysis.planning.minimum_forecast import MinimumForecast
from isoflop.analysis.provenance import hash_of_file
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base import durable
from isoflop.base.errors import UserError
from isoflop.base.formatting import compact
from isoflop.base.json_values import Serializable, canonical_json, from_json
from isoflop.base.provenance import Provenance
from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.grids.config import SweepConfig

if TYPE_CHECKING:
    from isoflop.sweeps.row import Row

FORECASTS, FORECAST, FIT, SCORE = "forecasts", "forecast.json", "fit.json", "score.json"


@dataclass(frozen=True)
class RegisteredCell:
    """A cell to be trained, and the loss that is expected of it, nats per token. `n_params`: by the fit's
    count; `flops`: what the cell takes alone, by the exact ledger."""

    cell_id: str
    n_params: int
    n_tokens: int
    flops: int
    loss: float
    interval: Interval
    planned: PlannedCell


@dataclass(frozen=True)
class Registered(Serializable):
    """A forecast for a budget of `flops` FLOPs, made before the budget's runs.

    `sha256`: of all else, see `digest_of`; `fit_sha256`: of `fit.json` beside; `runs`: the ids of the cells
    that the fit was made of; `runs_sha256`: see `hash_of_runs`. `forecast` is the fit's, `level` that of all
    intervals.
    """

    sha256: str
    sweep: str
    flops: float
    provenance: Provenance
    fit_sha256: str
    runs: tuple[str, ...]
    runs_sha256: str
    count: str
    level: float
    forecast: MinimumForecast
    baselines: tuple[MinimumForecast, ...]
    cells: tuple[RegisteredCell, ...]
    warnings: tuple[str, ...] = ()

    @property
    def planned(self) -> tuple[PlannedCell, ...]:
        """The cells to be trained."""
        return tuple(cell.planned for cell in self.cells)


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of what a forecast's file holds, as JSON with sorted keys and no spaces, without `sha256`."""
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(canonical_json(rest).encode()).hexdigest()


def folder_of(sweep: Path, flops: float) -> Path:
    """Where the forecast for a budget is."""
    return sweep / FORECASTS / compact(flops).replace("e+", "e")


def hash_of_runs(rows: Sequence[Row]) -> str:
    """SHA-256 of finished runs: what each cell is (its id, which its recipe determines), and what of it a fit
    takes. Columns that change as others join the table, such as a shared trunk's name, are left out."""
    content = [
        (
            row.cell_id,
            row.budget,
            row.n_params_total,
            row.n_params_non_embedding,
            row.n_params_body,
            row.n_tokens,
            row.flops,
            row.loss,
        )
        for row in sorted(rows, key=lambda row: row.cell_id)
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def write_registered(sweep: Path, registered: Registered, fit_text: str) -> Path:
    """Write a forecast and its fit; return its file.

    Raises `UserError` where the budget has a forecast, also one that came at the same moment.
    """
    folder = folder_of(sweep, registered.flops)
    text = json.dumps(registered.to_json(), indent=1) + "\n"
    if not folder.exists():
        with durable.new_folder(folder) as scratch:
            (scratch / FIT).write_text(fit_text)
            (scratch / FORECAST).write_text(text)
    if (folder / FORECAST).read_text() != text:
        raise UserError(
            f"{folder / FORECAST} is there: {compact(registered.flops)} FLOPs has its forecast, and a second "
            "one would be no forecast"
        )
    return folder / FORECAST


def read_registered(sweep: Path) -> list[Registered]:
    """The forecasts of a sweep's folder, by budget. Raises `UserError` for one that was changed."""
    folders = [sweep / FORECASTS / name for name in durable.list_names(sweep / FORECASTS)]
    return sorted((_read(folder) for folder in folders), key=lambda registered: registered.flops)


def _read(folder: Path) -> Registered:
    path = folder / FORECAST
    try:
        content = json.loads(path.read_bytes())
        stated, found = content["sha256"], digest_of(content)
    except FileNotFoundError as error:
        raise UserError(f"{folder} holds no {FORECAST}: restore it, or remove the folder") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no forecast: restore the file that was registered") from error
    if stated != found:
        raise UserError(
            f"{path} has changed since it was registered: its SHA-256 is {found[:12]}... and it states "
            f"{str(stated)[:12]}...: restore the file that was registered"
        )
    registered = from_json(Registered, content)
    try:
        fit_sha256 = hash_of_file(folder / FIT)
    except FileNotFoundError as error:
        raise UserError(f"{folder} holds no {FIT}: restore the file that was registered") from error
    if fit_sha256 != registered.fit_sha256:
        raise UserError(f"{folder / FIT} is not the fit of {path}: restore the file that was registered")
    return registered


def registered_cells(sweep: Path, config: SweepConfig) -> tuple[PlannedCell, ...]:
    """The cells of all forecasts of a folder, which its sweep trains after its own.

    Raises `UserError` for a forecast that was changed, whose budget is one of the config's, or whose cells
    this version of isoflop trains otherwise.
    """
    forecasts = read_registered(sweep)
    for registered in forecasts:
        if registered.flops in config.budgets:
            raise UserError(
                f"budget {compact(registered.flops)} has a registered forecast in {sweep}, which names its "
                "cells: leave it out of --budgets"
            )
        if any(cell.planned.cell.cell_id != cell.cell_id for cell in registered.cells):
            raise UserError(
                f"{folder_of(sweep, registered.flops)} was registered by isoflop "
                f"{registered.provenance.version}, which trains its cells otherwise: go on with that version"
            )
    return tuple(planned for registered in forecasts for planned in registered.planned)
