"""The state of a sweep, read from its folder alone, wherever the work runs."""

from __future__ import annotations

import csv
import time
from collections import Counter
from pathlib import Path
from typing import Any

from isoflop.base.errors import UserError
from isoflop.sweeps import board as boards
from isoflop.sweeps.beats import Beat, read_beats
from isoflop.sweeps.store import Contents, Store
from isoflop.train.spec import content_id

TABLES = {"tuning": "tuning.csv", "grid": "runs.csv", "checks": "checks.csv"}

SAMPLE = 200
"""Segments whose seconds tell the pace."""

SILENT_SECONDS = 120.0
"""Whoever was not heard of for longer is not counted as being at work."""


def read_status(folder: Path) -> dict[str, Any]:
    """Counts of cells by stage and status, FLOPs done of the plan's total, seconds left at the pace so far,
    and who is at what.

    `seconds_left` is None before anything was trained. Raises `UserError` for a folder without a sweep.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: name a sweep's folder, such as outputs/cpu-demo")
    store = Store(folder)
    sweep = store.facts()
    plan = {"total_flops": 0, "workers": 1} | sweep.get("plan", {})  # not there yet if it was stopped at once
    contents = store.contents()
    beats = [beat for beat in read_beats(folder / "workers") if not beat.who.is_dead()]
    workers = [_worker(beat, folder / "workers") for beat in beats]
    busy = [worker for worker in workers if worker["silent_seconds"] < SILENT_SECONDS]
    done = _flops_done(store, contents, busy)
    finished = _is_finished(store)
    total = done if finished else max(plan["total_flops"], done)
    return {
        "name": sweep["name"],
        "state": "finished" if finished else _state(folder, len(busy)),
        "stages": [_stage(folder, name, file) for name, file in TABLES.items()],
        "workers": workers,
        "flops_done": done,
        "flops_total": total,
        "seconds_left": _seconds_left(store, contents, total - done, len(busy) or plan["workers"]),
        "failures": [
            store.reason(s, tries)
            for s, tries in sorted(contents.failures.items())
            if s not in contents.segments  # and not done since
        ],
    }


def _is_finished(store: Store) -> bool:
    """Whether the summary is that of the folder's config, which may have gone further since."""
    try:
        return store.read_json("summary.json").get("config") == content_id(store.config())
    except UserError:
        return False


def _state(folder: Path, workers: int) -> str:
    hands = folder / "coordinators"
    heard = any(_silent_seconds(beat, hands) < SILENT_SECONDS for beat in read_beats(hands))
    if not heard:
        left = f"; {workers} workers still at it" if workers else ""
        return f"stopped: run it again to go on{left}"
    return f"under way: {workers} workers"


def _flops_done(store: Store, contents: Contents, busy: list[dict[str, Any]]) -> int:
    """Of the segments that are filed, and of those that workers are at as far as they are."""
    segments = boards.segments(store)
    ended = contents.segments | contents.diverged
    done = sum(facts.flops for name, facts in segments.items() if name in ended)
    under_way = {task["segment"]: task["steps"] for worker in busy for task in worker["tasks"]}
    return done + sum(
        segments[name].flops * steps // segments[name].steps
        for name, steps in under_way.items()
        if name in segments and name not in ended
    )


def _seconds_left(store: Store, contents: Contents, flops: int, workers: int) -> float | None:
    names = sorted(contents.segments)[:SAMPLE]  # hashes: as good as drawn
    facts = [store.read_json(f"segments/{name}/segment.json") for name in names]
    trained = sum(f["flops"] for f in facts)
    return sum(f["seconds"] for f in facts) / trained * flops / workers if trained else None


def _worker(beat: Beat, folder: Path) -> dict[str, Any]:
    return {
        "name": beat.who.name,
        "host": beat.who.host,
        "state": beat.facts.get("state", ""),
        "tasks": beat.facts.get("tasks", []),
        "silent_seconds": _silent_seconds(beat, folder),
    }


def _silent_seconds(beat: Beat, folder: Path) -> float:
    """By the file's time and this machine's clock: good enough to tell a person, never to act on."""
    try:
        return max(0.0, time.time() - (folder / f"{beat.who.name}.json").stat().st_mtime)
    except FileNotFoundError:
        return 0.0


def _stage(folder: Path, name: str, file: str) -> dict[str, Any]:
    path = folder / file
    if not path.exists():
        return {"name": name, "cells": {}}
    with path.open(newline="") as table:
        return {"name": name, "cells": dict(Counter(row["status"] for row in csv.DictReader(table)))}
