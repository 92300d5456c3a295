"""Reads back the run files that W&B writes offline."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

FILE_HEADER = 7
BLOCK = 32 * 1024
RECORD: Any = wandb_internal_pb2.__dict__["Record"]
"""Made at run time by protobuf, so that no type checker can see it."""

CHUNK_HEADER = struct.Struct("<IHB")
WHOLE, LAST = 1, 4


@dataclass
class Run:
    """What one run's file says."""

    group: str = ""
    run_id: str = ""
    project: str = ""
    job_type: str = ""
    name: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, str] = field(default_factory=dict)


def read_run(path: Path) -> Run:
    """The run in a `.wandb` file. `axes`: metric -> the metric it is drawn against."""
    run = Run()
    for data in _records(path.read_bytes()):
        record = RECORD.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told = record.run
            run.group, run.run_id, run.project = told.run_group, told.run_id, told.project
            run.job_type, run.name, run.tags = told.job_type, told.display_name, list(told.tags)
            run.config |= _items(record.run.config.update)
        elif kind == "summary":
            run.summary |= _items(record.summary.update)
        elif kind == "history":
            run.history.append(_items(record.history.item))
        elif kind == "metric" and record.metric.step_metric:
            run.axes[record.metric.name] = record.metric.step_metric
    return run


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log: blocks of 32 KiB, each record in one chunk or several."""
    at, parts = FILE_HEADER, b""
    while at + CHUNK_HEADER.size <= len(data):
        if BLOCK - at % BLOCK < CHUNK_HEADER.size:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = CHUNK_HEADER.unpack_from(data, at)
        at += CHUNK_HEADER.size
        parts += data[at : at + length]
        at += length
        if kind in (WHOLE, LAST):
            yield parts
            parts = b""
