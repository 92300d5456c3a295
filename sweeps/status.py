"""The state of a sweep, read from its folder alone."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from models.errors import UserError
from sweeps.store import Store

TABLES = {"tuning": "tuning.csv", "grid": "runs.csv", "checks": "checks.csv"}


def read_status(folder: Path) -> dict[str, Any]:
    """Counts of cells by stage and status, FLOPs done of the plan's total, seconds left at the pace so far.

    `seconds_left` is None before anything was trained. Raises `UserError` for a folder without a sweep.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: name a sweep's folder, such as outputs/cpu-demo")
    store = Store(folder)
    sweep = store.facts()
    plan = sweep.get("plan", {"total_flops": 0, "workers": 1})  # not there yet if it was stopped at once
    facts = [json.loads(p.read_text()) for p in sorted(folder.glob("segments/*/segment.json"))]
    done = sum(f["flops"] for f in facts)
    total = max(plan["total_flops"], done)
    seconds = sum(f["seconds"] for f in facts)
    workers = plan["workers"]
    finished = (folder / "summary.json").exists()
    return {
        "name": sweep["name"],
        "state": "finished" if finished else "under way or stopped: run it again to go on",
        "stages": [_stage(folder, name, file) for name, file in TABLES.items()],
        "flops_done": done,
        "flops_total": done if finished else total,
        "seconds_left": seconds / done * (total - done) / workers if done else None,
        "failures": [json.loads(p.read_text())["reason"] for p in sorted(folder.glob("failures/*.json"))],
    }


def _stage(folder: Path, name: str, file: str) -> dict[str, Any]:
    path = folder / file
    if not path.exists():
        return {"name": name, "cells": {}}
    with path.open(newline="") as table:
        return {"name": name, "cells": dict(Counter(row["status"] for row in csv.DictReader(table)))}
