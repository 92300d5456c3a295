"""Heartbeats of workers that are not there."""

from __future__ import annotations

import json
from pathlib import Path

from isoflop.base.json_values import to_json
from isoflop.sweeps.queue.heartbeats import (
    Heartbeat,
)
from isoflop.sweeps.queue.process_identity import ProcessIdentity


def write_heartbeat(folder: Path, name: str, count: int) -> None:
    """A sign of life of a worker on another machine."""
    folder.mkdir(exist_ok=True)
    process = ProcessIdentity(name, "elsewhere", 1, "another machine", "0")
    (folder / f"{name}.json").write_text(json.dumps(to_json(Heartbeat(process, count))))
