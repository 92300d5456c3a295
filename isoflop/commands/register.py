"""isoflop register"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.base.formatting import brief, compact, interval
from isoflop.commands.jax_setup import set_up_jax
from isoflop.printing import warn

if TYPE_CHECKING:
    from isoflop.analysis.planning.minimum_forecast import MinimumForecast
    from isoflop.sweeps.registered import Registered, RegisteredCell


@dataclass(frozen=True)
class Register:
    """Writes down what a sweep's fit predicts of a larger budget, before that budget's runs.

    `isoflop sweep` then trains the cells that the forecast names, and `isoflop score` compares. A forecast is
    written once, into the sweep's folder, and never changed. See docs/forecasts.md.
    """

    folder: tyro.conf.Positional[Path]
    """The folder of a sweep whose grid is trained."""
    flops: float
    """Training FLOPs of a budget that the sweep has no runs of, above all that it has."""
    law: str = "chinchilla"
    """The law that forecasts: its name (see docs/laws.md), or the path of a .py file of your own."""
    level: float = 0.95
    """Coverage that the intervals aim at."""
    widths: tuple[int, ...] = ()
    """Widths to train; by default as many as the sweep's sizes, around the forecast's N_opt."""
    force: Flag = False
    """Register the forecast of a fit that is not certified or not identified."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Registers a forecast and prints it."""
    asked = parse(Register, argv, "register")
    from isoflop import running
    from isoflop.sweeps.forecasts.command_line import going_on
    from isoflop.sweeps.registered import FORECAST, folder_of

    set_up_jax()
    found = running.register(
        asked.folder, asked.flops, widths=asked.widths, force=asked.force, law=asked.law, level=asked.level
    )
    path = folder_of(asked.folder, found.flops) / FORECAST
    if asked.as_json:
        print(json.dumps({"file": str(path), "registered": found.to_json()}))
    else:
        _print(found, path, going_on(asked.folder))
    for warning in found.warnings:
        warn(warning)
    return 0


def _print(found: Registered, path: Path, command: str) -> None:
    console = Console(highlight=False, markup=False)
    count = found.count.replace("_", "-")
    console.print(
        f"{compact(found.flops)} FLOPs, by {len(found.runs)} runs of {found.sweep}; intervals of "
        f"{found.level:.0%}; N: {count} parameters"
    )
    minima = Table("method", "loss at the minimum", "N_opt", box=SIMPLE, padding=(0, 1, 0, 0))
    for forecast in (found.forecast, *found.baselines):
        minima.add_row(*_row(forecast))
    cells = Table("width", "seed", "N", "tokens", "loss", box=SIMPLE, padding=(0, 1, 0, 0))
    for cell in found.cells:
        cells.add_row(*_cell_row(cell))
    console.print(minima)
    console.print(cells)
    console.print(f"forecast: {path}\nSHA-256:  {found.sha256}", soft_wrap=True)
    console.print(
        "Commit that file, or publish its SHA-256, before the runs: nothing else shows when it was made.\n"
        f"Then train the cells: {command}\n"
        f"and compare: isoflop score {path.parents[2]}",
        soft_wrap=True,
    )


def _row(forecast: MinimumForecast) -> tuple[str, str, str]:
    return (
        forecast.method,
        f"{_loss(forecast.loss)} {interval(forecast.loss_interval, _loss)}",
        f"{brief(forecast.n_opt)} {interval(forecast.n_interval)}",
    )


def _cell_row(cell: RegisteredCell) -> tuple[str, ...]:
    recipe = cell.planned.cell.recipe
    return (
        str(recipe.model.width),
        str(recipe.init_seed),
        f"{cell.n_params:,}",
        f"{cell.n_tokens:,}",
        f"{_loss(cell.loss)} {interval(cell.interval, _loss)}",
    )


def _loss(loss: float | None) -> str:
    """Nats to a ten-thousandth."""
    return "-" if loss is None else f"{loss:.4f}"
