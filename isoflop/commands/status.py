"""isoflop status"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console

from isoflop.arguments import JsonFlag, parse
from isoflop.base.json_values import to_json

if TYPE_CHECKING:
    from isoflop.sweeps.progress.status import StageStatus, WorkerState


@dataclass(frozen=True)
class Options:
    """Shows what of a sweep is done, failed or missing, from its folder alone."""

    folder: tyro.conf.Positional[Path]
    """The sweep's folder."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints the state of a sweep's folder."""
    options = parse(Options, argv, "status")
    from isoflop.sweeps.progress.status import read_status

    status = read_status(options.folder)
    if options.as_json:
        print(json.dumps(to_json(status)))
        return 0
    console = Console(highlight=False)
    console.print(f"[bold]{status.name}[/bold]: {status.state}")
    for stage in status.stages:
        if said := stage_line(stage, is_over=status.is_finished):
            console.print(f"  {stage.name:<19} {said}")
    done, total = status.flops_done, status.flops_total
    share = done / max(total, 1)
    percent = 100 if status.is_finished else min(99, math.floor(100 * share))
    console.print(f"  {'FLOPs':<19} {done:.3g} of {total:.3g} ({percent}%)")
    if status.seconds_left is not None and not status.is_finished:
        console.print(f"  {'time left':<19} about {status.seconds_left / 60:.1f} minutes at the pace so far")
    for worker in status.workers:
        console.print(f"  [dim]{worker_line(worker)}[/dim]")
    for failure in status.failures:
        console.print(f"  [red]{'failed':<19}[/red] {failure}")
    if status.stale:
        console.print(f"fit.json and report.html are of an older run table: isoflop report {options.folder}")
    return 0


def stage_line(stage: StageStatus, *, is_over: bool) -> str:
    """What became of a stage's cells, and how many are to come; nothing of a stage that the sweep hasn't."""
    counts = ", ".join(f"{n} {what}" for what, n in stage.cells.items())
    to_come = (stage.planned or 0) - sum(stage.cells.values())
    if is_over or (counts and to_come <= 0) or stage.planned == 0:
        return counts
    if stage.planned is None:
        return counts or ("chosen on the way" if stage.name == "grid" else "")
    return f"{counts}, {to_come} to come" if counts else f"{to_come} to come"


def worker_line(worker: WorkerState) -> str:
    """What a worker is at, and when it was last heard of."""
    at = ", ".join(
        f"{task.segment[:6]} step {task.steps:,}" + ("" if task.loss is None else f" loss {task.loss:.3f}")
        for task in worker.tasks
    )
    return f"{worker.name}: {at or worker.state}; heard {worker.silent_seconds:.0f} s ago"
