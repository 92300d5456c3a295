"""The state of a sweep, read from its folder alone, wherever the work runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoflop.analysis.provenance import is_stale
from isoflop.base.errors import UserError
from isoflop.base.json_values import content_id
from isoflop.sweeps.grids.stages import GRID, LAST, RETRY, SHORT, TUNING, short_name
from isoflop.sweeps.queue import board as boards
from isoflop.sweeps.queue.board import Outline
from isoflop.sweeps.queue.heartbeats import Heartbeat, read_heartbeats
from isoflop.sweeps.queue.store import Contents, Store

SAMPLE = 200
"""Segments whose seconds tell the pace."""

SILENT_SECONDS = 120.0
"""Whoever was not heard of for longer is not counted as being at work."""


def read_status(folder: Path) -> dict[str, Any]:
    """Cells by stage and status, FLOPs done of the total, seconds left at the pace so far, who is at what.

    Of a stage, `cells` counts those that have been put up or are over, `planned` what the config says there
    will be, 0 where it has none and None where it depends on results. `seconds_left` is None before anything
    was trained. `stale`: whether the fit is of an older run table. Raises `UserError` for a folder without a
    sweep.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: name a sweep's folder, such as outputs/cpu-demo")
    store = Store(folder)
    sweep = store.facts()
    plan = sweep.get("plan", {})  # not there yet if it was stopped at once
    contents, outlines = store.contents(), boards.outlines(store)
    beats = [beat for beat in read_heartbeats(folder / "workers") if not beat.who.is_dead()]
    workers = [_worker(beat, folder / "workers") for beat in beats]
    busy = [worker for worker in workers if worker["silent_seconds"] < SILENT_SECONDS]
    finished = _is_finished(store)
    done = _flops_done(outlines, contents, busy)
    total = done if finished else max(_flops_total(outlines, contents, plan), done)
    return {
        "name": sweep["name"],
        "state": "finished" if finished else _state(folder, len(busy)),
        "stages": _stages(store, outlines, contents, busy),
        "workers": workers,
        "flops_done": done,
        "flops_total": total,
        "seconds_left": _seconds_left(store, contents, total - done, len(busy) or plan.get("workers", 1)),
        "failures": [
            store.reason(s, tries)
            for s, tries in sorted(contents.failures.items())
            if s not in contents.segments  # and not done since
        ],
        "stale": is_stale(folder),
    }


def _stages(
    store: Store, outlines: Sequence[Outline], contents: Contents, busy: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Each stage that sweeps have, begun or not, in their order."""
    under_way = {task["segment"] for worker in busy for task in worker["tasks"]}
    cells: dict[str, dict[str, str]] = {name: {} for name in SHORT.values()}
    for outline in outlines:
        own = cells.setdefault(short_name(outline.stage), {})
        for cell in outline.cells:
            status = _cell_status(outline, cell, contents, under_way)
            # A board that was taken down asks for nothing: what it lacks another has, or nobody wants.
            if outline.is_up or status not in ("pending", "running"):
                own[cell] = status
    planned = _planned(store)
    return [
        {"name": name, "cells": dict(Counter(own.values())), "planned": planned.get(name)}
        for name, own in cells.items()
    ]


def _cell_status(outline: Outline, cell: str, contents: Contents, under_way: set[str]) -> str:
    if cell in contents.cells:
        return "finished"
    path = list(outline.path(cell))
    if not contents.diverged.isdisjoint(path):
        return "diverged"
    if not contents.hopeless.isdisjoint(path):
        return "failed"
    return "pending" if under_way.isdisjoint(path) else "running"


def _planned(store: Store) -> dict[str, int | None]:
    """Cells of each stage by the config; None where results decide."""
    config = store.config()
    adaptive = str(store.facts().get("kind", "")).startswith("adaptive")
    checks = 3 if config.checks else 0
    return {
        SHORT[TUNING]: len(config.rates.tried) * len(config.rates.anchors),
        SHORT[GRID]: None if adaptive else len(config.budgets) * config.sizes,
        SHORT[RETRY]: None if config.retries else 0,
        SHORT[LAST]: checks + (0 if adaptive else config.replicates * len(config.budgets)),
    }


def _is_finished(store: Store) -> bool:
    """Whether the summary is that of the folder's config, which may have gone further since."""
    try:
        return store.read_json("summary.json").get("config") == content_id(store.config())
    except UserError:
        return False


def _state(folder: Path, workers: int) -> str:
    hands = folder / "coordinators"
    heard = any(
        _silent_seconds(beat, hands) < SILENT_SECONDS and not beat.who.is_dead()
        for beat in read_heartbeats(hands)
    )
    if not heard:
        left = f"; {workers} workers still at it" if workers else ""
        return f"stopped: run it again to go on{left}"
    return f"under way: {workers} workers"


def _flops_done(outlines: Sequence[Outline], contents: Contents, busy: Sequence[dict[str, Any]]) -> int:
    """Of the segments that are filed, and of those that workers are at as far as they are."""
    segments = {name: extent for outline in outlines for name, extent in outline.segments.items()}
    ended = contents.segments | contents.diverged
    done = sum(facts.flops for name, facts in segments.items() if name in ended)
    under_way = {task["segment"]: task["steps"] for worker in busy for task in worker["tasks"]}
    return done + sum(
        segments[name].flops * steps // segments[name].steps
        for name, steps in under_way.items()
        if name in segments and name not in ended
    )


PRICES = {
    TUNING: ("tuning_flops",),
    GRID: ("grid_flops",),
    LAST: ("replicate_flops", "check_flops"),
}
"""What the plan says of stages that have not begun."""


def _flops_total(outlines: Sequence[Outline], contents: Contents, plan: dict[str, Any]) -> int:
    """Of what has been put up, and the plan's price of the stages that have not."""
    ended = contents.segments | contents.diverged
    segments = {
        name: extent.flops
        for outline in outlines
        for name, extent in outline.segments.items()
        if outline.is_up or name in ended
    }
    begun = {short_name(outline.stage) for outline in outlines}
    to_come = (name for stage, prices in PRICES.items() if SHORT[stage] not in begun for name in prices)
    return sum(segments.values()) + sum(plan.get(name, 0) for name in to_come)


def _seconds_left(store: Store, contents: Contents, flops: int, workers: int) -> float | None:
    names = sorted(contents.segments)[:SAMPLE]  # hashes: as good as drawn
    facts = [store.read_json(f"segments/{name}/segment.json") for name in names]
    trained = sum(f["flops"] for f in facts)
    return sum(f["seconds"] for f in facts) / trained * flops / workers if trained else None


def _worker(beat: Heartbeat, folder: Path) -> dict[str, Any]:
    return {
        "name": beat.who.name,
        "host": beat.who.host,
        "state": beat.facts.get("state", ""),
        "tasks": beat.facts.get("tasks", []),
        "silent_seconds": _silent_seconds(beat, folder),
    }


def _silent_seconds(beat: Heartbeat, folder: Path) -> float:
    """By the file's time and this machine's clock: good enough to tell a person, never to act on."""
    try:
        return max(0.0, time.time() - (folder / f"{beat.who.name}.json").stat().st_mtime)
    except FileNotFoundError:
        return 0.0
