"""isoflop status"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from isoflop.arguments import parse


@dataclass(frozen=True)
class Options:
    """Tells what of a sweep is done, failed or missing, from its folder alone."""

    folder: tyro.conf.Positional[Path]
    """The sweep's folder."""
    as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object and nothing else."""


def run(argv: list[str]) -> int:
    """Prints the state of a sweep's folder."""
    options = parse(Options, argv, "status")
    from isoflop.sweeps.status import read_status

    status = read_status(options.folder)
    if options.as_json:
        print(json.dumps(status))
        return 0
    console = Console(highlight=False)
    console.print(f"[bold]{status['name']}[/bold]: {status['state']}")
    for stage in status["stages"]:
        counts = ", ".join(f"{n} {what}" for what, n in stage["cells"].items()) or "not begun"
        console.print(f"  {stage['name']:<11} {counts}")
    done, total = status["flops_done"], status["flops_total"]
    console.print(f"  FLOPs       {done:.3g} of {total:.3g} ({done / max(total, 1):.0%})")
    if status["seconds_left"] is not None and status["state"] != "finished":
        console.print(f"  time left   about {status['seconds_left'] / 60:.1f} minutes at the pace so far")
    for worker in status["workers"]:
        console.print(f"  [dim]{worker_line(worker)}[/dim]")
    for failure in status["failures"]:
        console.print(f"  [red]failed[/red]     {failure}")
    return 0


def worker_line(worker: dict[str, Any]) -> str:
    """What a worker is at, and when it was last heard of."""
    at = ", ".join(
        f"{task['segment'][:6]} step {task['steps']:,}"
        + ("" if task["loss"] is None else f" loss {task['loss']:.3f}")
        for task in worker["tasks"]
    )
    return f"{worker['name']}: {at or worker['state']}; heard {worker['silent_seconds']:.0f} s ago"
