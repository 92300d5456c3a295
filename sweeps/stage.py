"""The tasks of one stage: their board shown to workers, the workers kept alive and watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from isoflop.base.errors import UserError
from isoflop.sweeps.launchers import Launcher
from isoflop.sweeps.launchers.pool import last_line
from isoflop.sweeps.queue import board as boards
from isoflop.sweeps.queue.claims import Claim, Claims
from isoflop.sweeps.queue.heartbeats import Heartbeat, read_heartbeats
from isoflop.sweeps.queue.store import Contents, Store
from isoflop.sweeps.queue.task_board import B_co, TaskBoard
from isoflop.sweeps.stall import StallMonitor
from isoflop.sweeps.workers.options import WorkerOptions

POLL_SECONDS = 0.25
"""Pause between two snapshots of the folder; longer, where one takes long (`POLL_SHARE`)."""

POLL_SHARE = 0.05
"""Share of the coordinator's time that snapshots may take."""

LOGS = ("worker.log", "slurm", "ray")
"""Where the launchers here have their workers' logs."""


@dataclass(frozen=True)
class Snapshot(Generic[B_co]):
    """The folder at one moment, as one board sees it. `missing`: tasks not done yet."""

    board: B_co
    contents: Contents
    missing: set[str]
    claims: Sequence[Claim]
    heartbeats: Sequence[Heartbeat]

    @property
    def claimed(self) -> frozenset[str]:
        """Tasks that workers hold."""
        return frozenset(claim.task for claim in self.claims)

    def ready(self) -> list[str]:
        """Tasks that can be done now and that nobody holds, the most urgent first."""
        ready = self.board.ready(self.missing, self.contents)
        return [name for name in ready if name not in self.claimed]

    def held(self) -> list[Claim]:
        """The claims on tasks that are missing."""
        return [claim for claim in self.claims if claim.task in self.missing]


def take_snapshot(board: B_co, store: Store) -> Snapshot[B_co]:
    """The folder as it is."""
    contents = store.contents()
    claims = Claims(store.path / "claims", "").standing()
    heartbeats = read_heartbeats(store.path / "workers")
    return Snapshot(board, contents, board.missing(contents), claims, heartbeats)


def complete_stage(
    board: B_co,
    store: Store,
    launcher: Launcher,
    *,
    lease_seconds: float = WorkerOptions.lease_seconds,
    on_snapshot: Callable[[Snapshot[B_co]], None] = lambda snapshot: None,
    warn: Callable[[str], None] = lambda text: None,
) -> None:
    """Return once nothing of the board is missing that could be done. `on_snapshot` takes every snapshot.

    Raises `UserError` where no worker can work, and where nothing gets done although none is waited for.
    """
    warned: dict[str, int] = {}
    stall = StallMonitor(launcher, lease_seconds)
    while True:
        began = time.monotonic()
        snapshot = take_snapshot(board, store)
        on_snapshot(snapshot)
        _warn_of_failures(snapshot, store, warned, warn)
        _drop_checkpoints(snapshot, store)
        if not snapshot.missing:
            if not board.missing(store.contents()):  # `on_snapshot` may have found a corrupt result
                break
            continue
        took = time.monotonic() - began
        boards.publish(board, store)
        workers_wanted = len(snapshot.ready()) + len({claim.worker for claim in snapshot.held()})
        for line in (*launcher.scale(workers_wanted), stall.queue_notice()):
            if line:
                warn(line)
        if why := stall.reason(snapshot):
            raise UserError(f"{board.stage}: {why}{_see_logs(store)}")
        time.sleep(max(POLL_SECONDS, took / POLL_SHARE))
    boards.take_down(store, board.name)


def _warn_of_failures(
    snapshot: Snapshot[TaskBoard], store: Store, warned: dict[str, int], warn: Callable[[str], None]
) -> None:
    for name, tries in snapshot.contents.failures.items():
        recipe = snapshot.board.recipes.get(name)
        if recipe and warned.get(name) != tries:
            warned[name] = tries
            warn(f"width {recipe.model.width} failed: {store.reason(name, tries)}")


def _see_logs(store: Store) -> str:
    """Where workers say what is wrong, and the last line there."""
    logs = [log for name in LOGS if (log := store.path / name).exists()]
    if not logs:
        return ""
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    last = last_line(newest)
    return f" (see {newest}{f', which ends with: {last}' if last else ''})"


def _drop_checkpoints(snapshot: Snapshot[TaskBoard], store: Store) -> None:
    """Remove the checkpoints that nothing waits for any more."""
    for name in snapshot.board.unneeded_checkpoints(snapshot.missing, snapshot.contents):
        store.drop(store.checkpoint(name))
