"""Registered forecasts: what a sweep's folder says of a budget before any run of that budget.

forecasts/FLOPS/forecast.json   the forecast and the SHA-256 of its canonical JSON
forecasts/FLOPS/fit.json        the fit that it was made with
forecasts/FLOPS/score.json      what came of it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
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

    `runs`: the ids of the cells that the fit was made of; `runs_sha256`: see `hash_of_runs`;
    `fit_sha256`: of `fit.json` beside. `forecast` is the fit's, `level` that of all intervals.
    """

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
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: sorted keys, no spaces."""
        return digest_of(self)

    @property
    def planned(self) -> tuple[PlannedCell, ...]:
        """The cells to be trained."""
        return tuple(cell.planned for cell in self.cells)


def digest_of(value: Registered | dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a forecast, or of what its file has of it."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


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
    text = json.dumps({"sha256": registered.digest, "registered": registered.to_json()}, indent=1) + "\n"
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
        value = json.loads(path.read_bytes())
        stated, content = value["sha256"], value["registered"]
    except FileNotFoundError as error:
        raise UserError(f"{folder} holds no {FORECAST}: restore it, or remove the folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no forecast: restore the file that was registered") from error
    found = digest_of(content)
    if stated != found:
        raise UserError(
            f"{path} has changed since it was registered: its SHA-256 is {found[:12]}... and it states "
            f"{str(stated)[:12]}...: restore the file that was registered"
        )
    registered = from_json(Registered, content)
    if hash_of_file(folder / FIT) != registered.fit_sha256:
        raise UserError(f"{folder / FIT} is not the fit of {path}: restore the file that was registered")
    return registered


def registered_cells(sweep: Path, config: SweepConfig) -> tuple[PlannedCell, ...]:
    """The cells of all forecasts of a folder, which its sweep trains after its own.

    Raises `UserError` for a forecast that was changed, or whose budget is one of the config's.
    """
    forecasts = read_registered(sweep)
    for registered in forecasts:
        if registered.flops in config.budgets:
            raise UserError(
                f"budget {compact(registered.flops)} has a registered forecast in {sweep}, which names its "
                "cells: leave it out of --budgets"
            )
    return tuple(planned for registered in forecasts for planned in registered.planned)
