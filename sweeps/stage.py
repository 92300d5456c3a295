"""Sees to it that the cells of one stage are trained: shows workers the board, keeps them alive, watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from isoflop.base.errors import UserError
from isoflop.sweeps.launchers import Launcher
from isoflop.sweeps.launchers.restarts import last_line
from isoflop.sweeps.queue import board as boards
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.claims import Claim, Claims
from isoflop.sweeps.queue.heartbeats import Heartbeat, read_heartbeats
from isoflop.sweeps.queue.store import Contents, Store
from isoflop.sweeps.stall import StallMonitor
from isoflop.sweeps.workers.options import WorkerOptions

LOOK_SECONDS = 0.25
"""Between two looks at the folder; more, where a look takes long."""

LOGS = ("worker.log", "slurm", "ray")
"""Where the launchers here have their workers' words."""

SHARE = 0.05
"""Of the coordinator's time that looks may take."""


@dataclass(frozen=True)
class View:
    """The folder at one moment, as one board sees it. `missing`: segments not trained yet."""

    board: Board
    contents: Contents
    missing: set[str]
    claims: Sequence[Claim]
    beats: Sequence[Heartbeat]

    @property
    def claimed(self) -> frozenset[str]:
        """Segments that workers are at."""
        return frozenset(claim.task for claim in self.claims)


def train_cells(
    board: Board,
    store: Store,
    launcher: Launcher,
    *,
    lease_seconds: float = WorkerOptions.lease_seconds,
    on_view: Callable[[View], None] = lambda view: None,
    warn: Callable[[str], None] = lambda text: None,
) -> None:
    """Returns once nothing of the board is missing that could be trained. `on_view` hears of every look.

    Raises `UserError` where no worker can work, and where nothing gets done although none is waited for.
    """
    warned: dict[str, int] = {}
    headway = StallMonitor(launcher, lease_seconds)
    while True:
        began = time.monotonic()
        view = look(board, store)
        on_view(view)
        _tell_failures(view, store, warned, warn)
        _free(view, store)
        if not view.missing:
            if not board.missing(store.contents()):  # `on_view` may have found a result damaged
                break
            continue
        took = time.monotonic() - began
        if not boards.is_up(board, store):
            boards.publish(board, store)
        for line in (*launcher.keep(_wanted(view)), headway.waiting()):
            if line:
                warn(line)
        if why := headway.stalled(view):
            raise UserError(f"{board.stage}: {why}{_logged(store)}")
        time.sleep(max(LOOK_SECONDS, took / SHARE))
    boards.take_down(store, board.name)


def _wanted(view: View) -> int:
    """Workers that there is work for: those at it, and one for each task that is free."""
    free = set(view.board.ready(view.missing, view.contents)) - view.claimed
    return len(free) + len({claim.worker for claim in view.claims if claim.task in view.missing})


def look(board: Board, store: Store) -> View:
    """The folder as it is."""
    contents = store.contents()
    claims = Claims(store.path / "claims", "").standing()
    beats = [beat for beat in read_heartbeats(store.path / "workers") if not beat.who.is_dead()]
    return View(board, contents, board.missing(contents), claims, beats)


def _tell_failures(view: View, store: Store, warned: dict[str, int], warn: Callable[[str], None]) -> None:
    for name, tries in view.contents.failures.items():
        segment = view.board.tree.segments.get(name)
        if segment and warned.get(name) != tries:
            warned[name] = tries
            warn(f"width {segment.recipe.model.width} failed: {store.reason(name, tries)}")


def _logged(store: Store) -> str:
    """Where workers said what ails them, and their last line."""
    logs = [log for name in LOGS if (log := store.path / name).exists()]
    if not logs:
        return ""
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    said = last_line(newest)
    return f" (see {newest}{f', which ends with: {said}' if said else ''})"


def _free(view: View, store: Store) -> None:
    """Removes the checkpoints that nothing waits for any more."""
    board = view.board
    for name in view.contents.checkpoints & board.tree.segments.keys():
        waiting = any(child in view.missing for child in board.children.get(name, ()))
        if not waiting and name not in view.missing and not board.is_kept(board.tree.segments[name]):
            store.drop(store.checkpoint(name))
