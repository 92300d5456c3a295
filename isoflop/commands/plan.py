"""isoflop plan"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from isoflop.arguments import Flag, JsonFlag
from isoflop.base.json_values import to_json
from isoflop.commands.jax_setup import set_up_jax
from isoflop.commands.sweep import ConfigArguments, parse_with_config
from isoflop.sweeps.grids.config import load_config

if TYPE_CHECKING:
    from isoflop.sweeps.grids.cells import PlannedCell
    from isoflop.sweeps.plan import Plan, Price
    from isoflop.sweeps.workers.options import WorkerOptions


@dataclass(frozen=True)
class PlanArguments(ConfigArguments):
    """Shows a sweep's grid and its price; trains nothing. `isoflop plan --next RUNS` proposes the runs that a
    table lacks: see isoflop plan --next --help.

    Options replace fields of CONFIG, as in --budgets 1e11 2e11 --seed 1.
    """

    as_json: JsonFlag = False
    out: Path | None = None
    """Folder of the sweep, whose registered forecasts are priced too; outputs/NAME unless given."""
    no_calibration: Flag = False
    """Skip the short runs that the price in seconds needs."""


def run(argv: list[str]) -> int:
    """Prints the grid and its price; with `--next` the runs that a table lacks."""
    if "--next" in argv:
        from isoflop.commands import next_runs

        return next_runs.run([word for word in argv if word != "--next"])
    asked = parse_with_config(PlanArguments, argv, "plan")
    from isoflop.running import plan as make
    from isoflop.sweeps.launchers import refuse_missing
    from isoflop.sweeps.output_folder import default_folder
    from isoflop.sweeps.plan import refuse_one_batch

    refuse_one_batch(asked.config, asked.worker_options.execution)
    refuse_missing("local", asked.worker_options.execution)
    set_up_jax()
    planned = make(asked.config, asked.out or default_folder(asked.config, load_config(asked.name)))
    planned.refuse_batches(asked.worker_options.execution)
    price = planned.price() if asked.no_calibration else _price(planned, asked.worker_options)
    if asked.as_json:
        print(json.dumps(_as_json(planned, price)))
    else:
        _print(planned, price)
    return 0


def _price(planned: Plan, worker_options: WorkerOptions) -> Price:
    from isoflop.sweeps.calibrate import calibrate
    from isoflop.sweeps.launchers import load_launcher

    return planned.price(*calibrate(planned, load_launcher("local"), worker_options))


def _as_json(planned: Plan, price: Price) -> dict[str, Any]:
    price_json = asdict(price) | {"total_flops": price.total_flops}
    return {
        "config": to_json(planned.config),
        "price": price_json,
        "warnings": list(planned.warnings),
        "cells": planned.cells(),
    }


def _print(planned: Plan, price: Price) -> None:
    console = Console(highlight=False)
    config = planned.config
    console.print(f"[bold]{config.title}[/bold]")
    for corpus in planned.axis_corpora or (planned.corpus,):
        tokens = f"{corpus.n_tokens('train'):,} training tokens"
        console.print(f"{corpus.title} ({corpus.licence}), {config.tokenizer}: {tokens}")
    for axis in config.axes:
        console.print(f"repeated at each of {axis}")
    axes = [axis.option for axis in config.axes]
    table = Table(*axes, "budget (FLOPs)", "width", "N non-embedding", "D (tokens)", "D/N", "steps", "epochs")
    for column in table.columns:
        column.justify = "right"
        column.overflow = "fold"
    sizes = planned.sizes()
    for previous, p in zip([None, *sizes], sizes, strict=False):
        if previous and (previous.budget, previous.settings) != (p.budget, p.settings):
            table.add_section()
        n = p.cell.recipe.ledger.params()
        table.add_row(
            *(str(value) for _, value in p.settings),
            f"{p.budget:.3g}",
            str(p.cell.recipe.model.width),
            f"{n:,}",
            f"{p.cell.tokens:,}",
            f"{p.cell.tokens / n:.0f}",
            f"{p.cell.steps:,}",
            f"{p.cell.tokens / min(_available(planned, p), p.cell.recipe.unique_tokens):.2f}",
        )
    console.print(table)
    for line in price_lines(planned, price):
        console.print(line)
    for warning in planned.warnings:
        console.print(f"[yellow]warning:[/yellow] {warning}")


def _available(planned: Plan, cell: PlannedCell) -> int:
    """Training tokens of the corpus that a cell is trained on."""
    return planned.corpus_of(cell.cell.recipe.data.source).n_tokens("train")


def _by_seeds(planned: Plan) -> str:
    """How many sizes the grid has and how many seeds, in words."""
    seeds = planned.config.seeds
    return f" ({len(planned.sizes())} sizes under {seeds} seeds)" if seeds > 1 else ""


def price_lines(planned: Plan, price: Price) -> list[str]:
    """The price in words."""
    saved = 1 - price.grid_flops / price.fresh_flops
    keep = {
        "none": "no checkpoint is kept",
        "trunks": "the trunks' checkpoints are kept, for further budgets to branch from",
        "all": "every checkpoint is kept",
    }[planned.config.keep]
    forecasts = len(planned.forecasts)
    lines = [
        f"cells: {len(planned.grid)} in the grid{_by_seeds(planned)}, {len(planned.tuning)} to tune the "
        f"learning rate, {len(planned.checks)} checks"
        + (f", {forecasts} of registered forecasts" if forecasts else ""),
        f"FLOPs: {price.total_flops:.3g} = grid {price.grid_flops:.3g} + tuning {price.tuning_flops:.3g} "
        f"+ checks {price.check_flops:.3g}"
        + (f" + forecasts {price.forecast_flops:.3g}" if forecasts else ""),
        f"shared trunks: the grid costs {saved:.0%} less than fresh runs ({price.fresh_flops:.3g})",
        f"disk: {price.disk_peak / 1e6:.1f} MB of checkpoints at most, {price.disk_kept / 1e6:.1f} MB at the "
        f"end: {keep}",
    ]
    if price.seconds is not None:
        lines.insert(2, f"time: about {price.seconds / 60:.1f} minutes on this machine, compilation included")
    return lines
