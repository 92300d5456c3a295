"""The state of a sweep, read from its folder alone, wherever the work runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.analysis.provenance import is_stale
from isoflop.base.errors import UserError
from isoflop.base.json_values import content_id
from isoflop.sweeps.grids.stages import CHECK, FORECAST, GRID, RETRY, SHORT, TUNING, short_name
from isoflop.sweeps.queue.board import PublishedBoard, read_all
from isoflop.sweeps.queue.heartbeats import Heartbeat, TaskProgress, read_heartbeats
from isoflop.sweeps.queue.store import Contents, Store
from isoflop.sweeps.registered import RegisteredCell, read_registered

SAMPLE = 200
"""Segments whose seconds give the pace."""

SILENT_SECONDS = 120.0
"""Whoever was not heard of for longer is not counted as being at work."""

FINISHED = "finished"

PRICES = {
    TUNING: ("tuning_flops",),
    GRID: ("grid_flops",),
    CHECK: ("check_flops",),
}
"""What the plan says of stages that have not begun."""


@dataclass(frozen=True)
class StageStatus:
    """A stage that sweeps have, begun or not.

    `cells`: by status, those that have been put up or are over; `planned`: how many the plan says there
    will be, 0 where it has none and None where it depends on results.
    """

    name: str
    cells: dict[str, int]
    planned: int | None


@dataclass(frozen=True)
class WorkerState:
    """A worker, what it trains, and for how long it was not heard of."""

    name: str
    host: str
    state: str
    tasks: tuple[TaskProgress, ...]
    silent_seconds: float


@dataclass(frozen=True)
class SweepStatus:
    """The state of a sweep. `seconds_left` at the pace so far is None before anything was trained; `stale`:
    whether the fit is of an older run table."""

    name: str
    state: str
    stages: tuple[StageStatus, ...]
    workers: tuple[WorkerState, ...]
    flops_done: int
    flops_total: int
    seconds_left: float | None
    failures: tuple[str, ...]
    stale: bool

    @property
    def is_finished(self) -> bool:
        """Whether the folder holds all that its config asks for."""
        return self.state == FINISHED


def read_status(folder: Path) -> SweepStatus:
    """The state of the sweep in a folder. Raises `UserError` for a folder without a sweep."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: name a sweep's folder, such as outputs/cpu-demo")
    store = Store(folder)
    sweep = store.facts()
    plan = sweep.get("plan", {})  # not there yet if it was stopped at once
    contents, boards = store.contents(), read_all(store)
    forecasts = [cell for registered in read_registered(folder) for cell in registered.cells]
    workers = tuple(
        WorkerState(h.process.name, h.process.host, h.state, h.tasks, _silent_seconds(h, folder / "workers"))
        for h in read_heartbeats(folder / "workers")
    )
    busy = [worker for worker in workers if worker.silent_seconds < SILENT_SECONDS]
    under_way = {task.segment: task.steps for worker in busy for task in worker.tasks}
    state = FINISHED if _is_finished(store, forecasts) else _state(folder, len(busy))
    done, total = _flops(boards, contents, under_way, plan)
    shown = {cell for published in boards for cell in published.board.cells}
    total += sum(cell.flops for cell in forecasts if cell.cell_id not in shown)
    total = done if state == FINISHED else max(total, done)
    return SweepStatus(
        name=sweep["name"],
        state=state,
        stages=_stages(store, boards, contents, under_way.keys(), len(forecasts)),
        workers=workers,
        flops_done=done,
        flops_total=total,
        seconds_left=_seconds_left(store, contents, total - done, len(busy) or plan.get("workers", 1)),
        failures=tuple(
            store.reason(segment, tries)
            for segment, tries in sorted(contents.failures.items())
            if segment not in contents.segments  # and not trained since
        ),
        stale=is_stale(folder),
    )


def _stages(
    store: Store,
    boards: Sequence[PublishedBoard],
    contents: Contents,
    under_way: Set[str],
    forecasts: int,
) -> tuple[StageStatus, ...]:
    """Each stage that sweeps have, in their order."""
    cells: dict[str, dict[str, str]] = {name: {} for name in SHORT.values()}
    for board, _, is_up in boards:
        own = cells.setdefault(short_name(board.stage), {})
        for cell in board.cells:
            status = contents.cell_status(cell, board.tree.paths[cell], under_way)
            # A board that was taken down asks for nothing: what it lacks another has, or nobody wants.
            if is_up or status not in ("pending", "running"):
                own[cell] = status
    planned = _planned(store) | {SHORT[FORECAST]: forecasts}
    return tuple(
        StageStatus(name, dict(Counter(own.values())), planned.get(name)) for name, own in cells.items()
    )


def _planned(store: Store) -> dict[str, int | None]:
    """Cells of each stage by the plan, before it is noted by the config (which counts those that values of an
    axis have in common once for each); None where results decide."""
    facts, config = store.facts(), store.config()
    counts = facts.get("plan", {}).get("cells", {})
    variants = len(config.variants)
    tuning = variants * config.rates.trials
    grid = variants * len(config.budgets) * config.sizes * config.seeds
    checks = 3 * variants * min(2, len(config.budgets)) if config.checks else 0
    adaptive = facts["kind"].startswith("adaptive")
    return {
        SHORT[TUNING]: counts.get(SHORT[TUNING], tuning),
        SHORT[GRID]: None if adaptive else counts.get(SHORT[GRID], grid),
        SHORT[RETRY]: None if config.retries else 0,
        SHORT[CHECK]: counts.get(SHORT[CHECK], checks),
    }


def _is_finished(store: Store, forecasts: Sequence[RegisteredCell]) -> bool:
    """Whether the summary is that of the folder's config, which may have gone further since, and of all its
    registered forecasts."""
    try:
        summary = store.read_json("summary.json")
    except UserError:
        return False
    trained = {cell.cell_id for cell in forecasts} <= set(summary.get("forecasts", ()))
    return trained and summary.get("config") == content_id(store.config())


def _state(folder: Path, workers: int) -> str:
    coordinators = folder / "coordinators"
    silent = [_silent_seconds(heartbeat, coordinators) for heartbeat in read_heartbeats(coordinators)]
    if min(silent, default=SILENT_SECONDS) < SILENT_SECONDS:
        return f"under way: {workers} workers"
    left = f"; {workers} workers still at it" if workers else ""
    return f"stopped: run it again to go on{left}"


def _flops(
    boards: Sequence[PublishedBoard], contents: Contents, under_way: Mapping[str, int], plan: dict[str, Any]
) -> tuple[int, int]:
    """FLOPs that are done, those of segments under way included; and FLOPs of all that has been put up, with
    the plan's price of the stages that have not."""
    flops = {name: cost for published in boards for name, cost in published.flops.items()}
    segments = {name: s for published in boards for name, s in published.board.tree.segments.items()}
    filed = (contents.segments | contents.diverged) & flops.keys()
    done = sum(flops[name] for name in filed) + sum(
        flops[name] * steps // (segments[name].stop - segments[name].start)
        for name, steps in under_way.items()
        if name in segments and name not in filed
    )
    up = {name for published in boards if published.is_up for name in published.flops}
    begun = {short_name(published.board.stage) for published in boards}
    to_come = (name for stage, prices in PRICES.items() if SHORT[stage] not in begun for name in prices)
    return done, sum(flops[name] for name in up | filed) + sum(plan.get(name, 0) for name in to_come)


def _seconds_left(store: Store, contents: Contents, flops: int, workers: int) -> float | None:
    names = sorted(contents.segments)[:SAMPLE]  # hashes: as good as drawn
    facts = [store.read_json(f"segments/{name}/segment.json") for name in names]
    trained = sum(f["flops"] for f in facts)
    return sum(f["seconds"] for f in facts) / trained * flops / workers if trained else None


def _silent_seconds(heartbeat: Heartbeat, folder: Path) -> float:
    """Return the age of the heartbeat's file by this machine's clock: to show a person, never to act on."""
    try:
        return max(0.0, time.time() - (folder / f"{heartbeat.process.name}.json").stat().st_mtime)
    except FileNotFoundError:
        return 0.0
