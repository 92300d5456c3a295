"""What a segment under way has logged so far: `live/ID`, which grows with its training, for others to read.

A line of JSON names the metrics; after it come their values, float32, step by step. No result depends on the
file: it is not flushed, and goes when the segment is filed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.store import Store
from isoflop.train.result import curve
from isoflop.train.schedules import learning_rates
from isoflop.train.spec import CellSpec

Metrics = dict[str, NDArray[np.float32]]


class LiveLog:
    """Writes the metrics of segments that are trained together, each into a file of its own.

    A file that can't be written is done without: training goes on.
    """

    def __init__(self, store: Store, segment_ids: Sequence[str]) -> None:
        self.paths = [store.live(name) for name in segment_ids]
        self._files: list[BinaryIO] = []

    def append(self, metrics: Metrics) -> None:
        """Takes the metrics (M, steps) of further steps."""
        with contextlib.suppress(OSError):
            if not self._files:
                self._files = [_begin(path, sorted(metrics)) for path in self.paths]
            for member, file in enumerate(self._files):
                rows_SxK = np.stack([metrics[name][member] for name in sorted(metrics)], axis=1)
                file.write(np.ascontiguousarray(rows_SxK, dtype="<f4").tobytes())
                file.flush()

    def close(self) -> None:
        """Leaves the files to their readers."""
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()


def _begin(path: Path, names: list[str]) -> BinaryIO:
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)  # whoever may still write to the old one writes to nothing
    file = path.open("wb")
    file.write(json.dumps(names).encode() + b"\n")
    return file


def read_live(path: Path) -> Metrics | None:
    """The metrics (steps,) of the whole steps that a file holds; None where there is none."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        names = json.loads(head)
    except (OSError, ValueError):
        return None
    steps = len(body) // (4 * len(names))  # the last one may be half written
    rows_SxK = np.frombuffer(body[: 4 * len(names) * steps], dtype="<f4").reshape(steps, len(names))
    return {name: rows_SxK[:, k] for k, name in enumerate(names)}


class LiveCurves:
    """The curves so far of cells that are being trained, trunks that they share included."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._filed: dict[str, Metrics] = {}

    def points(self, cell: CellSpec, path: Sequence[str]) -> list[dict[str, float]]:
        """The points of the cell's curve that its path has reached: those that its whole curve will have."""
        parts: list[Metrics] = []
        for segment in path:
            filed = self._filed_metrics(segment)
            part = filed or read_live(self.store.live(segment))
            if part:
                parts.append(part)
            if not filed:
                break
        if not parts:
            return []
        metrics = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return curve(cell, metrics, cell_rates(cell))

    def _filed_metrics(self, segment: str) -> Metrics | None:
        if segment not in self._filed and self.store.segment(segment).exists():
            with np.load(self.store.segment(segment) / "metrics.npz") as metrics:
                self._filed[segment] = dict(metrics)
        return self._filed.get(segment)


def under_way(board: Board, store: Store, claimed: frozenset[str]) -> list[str]:
    """Cells whose next segment is being trained, in the board's order; several, where it is their trunk."""
    filed = store.contents().segments
    frontier = {
        cell: next((segment for segment in path if segment not in filed), None)
        for cell, path in board.tree.paths.items()
    }
    return [cell for cell, segment in frontier.items() if segment in claimed and cell in board.cells]


def cell_rates(cell: CellSpec) -> NDArray[np.float32]:
    """The learning rate of each of a cell's steps."""
    recipe = cell.recipe
    return learning_rates(recipe.schedule, recipe.optimizer.peak_lr, 0, cell.steps, cell.steps)
