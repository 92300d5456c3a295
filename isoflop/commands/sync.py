"""isoflop sync"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import Progress

from isoflop.arguments import parse
from isoflop.base.errors import UserError


@dataclass(frozen=True)
class Sync:
    """Sends a sweep's folder to Weights & Biases: what is not there yet, a run a cell, and the report."""

    folder: tyro.conf.Positional[Path]
    """The sweep's folder."""
    project: str | None = None
    """W&B's project; WANDB_PROJECT or isoflop unless given."""
    entity: str | None = None
    """W&B's user or team; WANDB_ENTITY or the login's own unless given."""


def run(argv: list[str]) -> int:
    """Sends what is missing. Safe to interrupt and to repeat."""
    options = parse(Sync, argv, "sync")
    from isoflop.sweeps.progress.table_files import first_of_each, read_rows
    from isoflop.sweeps.progress.tracker_sync import TrackerSync
    from isoflop.sweeps.queue.store import Store
    from isoflop.sweeps.trackers.wandb import Destination, Wandb
    from isoflop.sweeps.trackers.wandb_run import group_of

    if not options.folder.is_dir():
        raise UserError(f"no folder {options.folder}: name a sweep's folder, such as outputs/cpu-demo")
    store = Store(options.folder)
    name = store.facts()["name"]
    rows = [row for row in first_of_each(read_rows(store)).values() if row.is_over]
    if not rows:
        raise UserError(f"{options.folder} has nothing to sync yet: none of its cells is finished")
    usual = Destination.usual()
    to = Destination("online", options.project or usual.project, options.entity or usual.entity)
    console = Console(stderr=True, highlight=False)
    tracker = Wandb(name, options.folder, console.print, to, must_reach=True)
    sync = TrackerSync("wandb", tracker, store)
    with contextlib.closing(tracker), Progress(console=console, disable=not console.is_terminal) as bar:
        for row in bar.track(rows, description="sending"):
            sync.log_cell(row, again=True)
        sync.log_sweep(again=True)
    print(
        f"{tracker.sent} of {tracker.logged} runs sent, the others were there: {to}, group {group_of(name)}"
    )
    return 0
