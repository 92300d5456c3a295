"""isoflop score"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from isoflop.arguments import JsonFlag, parse
from isoflop.base.formatting import brief, compact, interval
from isoflop.commands.jax_setup import set_up_jax
from isoflop.printing import warn

if TYPE_CHECKING:
    from isoflop.sweeps.forecasts.scoring import CellScore, MinimumScore, Score

OUTSIDE = "*"


@dataclass(frozen=True)
class Options:
    """Compares every forecast registered in a sweep's folder with the runs that came after it, beside the
    baselines registered with it.

    Also writes each comparison beside its forecast, as forecasts/FLOPS/score.json. See docs/forecasts.md.
    """

    folder: tyro.conf.Positional[Path]
    """The sweep's folder; the table runs.csv and the folder forecasts are enough."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints the score of each forecast."""
    asked = parse(Options, argv, "score")
    set_up_jax()
    from isoflop import running

    scores = running.score(asked.folder)
    if asked.as_json:
        print(json.dumps({"scores": [score.to_json() for score in scores]}))
    else:
        console = Console(highlight=False, markup=False)
        for score in scores:
            _print(score, console)
    for score in scores:
        for warning in score.warnings:
            warn(f"{compact(score.flops)} FLOPs: {warning}")
    return 0


def _print(score: Score, console: Console) -> None:
    measured = score.measured
    console.print(
        f"{compact(score.flops)} FLOPs, registered {score.registered}, SHA-256 {score.sha256[:16]}...\n"
        f"measured: loss {_loss(measured.loss)}, N_opt {brief(measured.n_opt)}"
    )
    minima = Table(
        *("method", "loss", "interval", "error", "N_opt", "error", "ranks"),
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for method in score.methods:
        minima.add_row(*_method_row(method))
    cells = Table(
        *("width", "seed", "loss", "predicted", "interval", "error"), box=SIMPLE, padding=(0, 1, 0, 0)
    )
    for cell in score.cells:
        cells.add_row(*_cell_row(cell))
    console.print(minima)
    console.print(
        "ranks: by error of the loss, by error of N_opt, by interval score of the loss\n"
        f"{OUTSIDE}: measured outside the interval that was registered",
        soft_wrap=True,
    )
    console.print(cells)
    if score.coverage is not None:
        inside = sum(cell.inside is True for cell in score.cells)
        console.print(
            f"{inside} of {len(score.cells)} cells inside their {score.level:.0%} intervals; mean absolute "
            f"error {_loss(score.mean_abs_error)}"
        )


def _method_row(method: MinimumScore) -> tuple[str, ...]:
    forecast = method.forecast
    ranks = (method.loss_rank, method.n_rank, method.interval_rank)
    return (
        forecast.method,
        _loss(forecast.loss),
        interval(forecast.loss_interval, _loss),
        _signed(method.loss_error) + _mark(method.loss_inside),
        brief(forecast.n_opt),
        "-" if method.n_error is None else f"{math.expm1(method.n_error):+.0%}{_mark(method.n_inside)}",
        " ".join("-" if rank is None else str(rank) for rank in ranks),
    )


def _cell_row(cell: CellScore) -> tuple[str, ...]:
    return (
        str(cell.d_model),
        str(cell.init_seed),
        "diverged" if cell.loss is None else _loss(cell.loss),
        _loss(cell.predicted),
        interval(cell.interval, _loss),
        _signed(cell.error) + _mark(cell.inside),
    )


def _mark(inside: bool | None) -> str:
    return OUTSIDE if inside is False else ""


def _loss(loss: float | None) -> str:
    """Nats to a ten-thousandth."""
    return "-" if loss is None else f"{loss:.4f}"


def _signed(error: float | None) -> str:
    return "-" if error is None else f"{error:+.4f}"
