"""Training that takes no time: a state is a number mixed with each step's, so that whatever is lost, repeated
or taken from the wrong place shows in every loss after it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.train.loop import Interrupted, Part, Partway, Trained
from isoflop.train.spec import CellSpec, Segment

STRETCH = 20


def run_segments(
    segments: Sequence[Segment],
    corpus: Any,
    parents: Sequence[Path | None],
    progress: Any,
    *_: Any,
    parts: Sequence[Part] = (),
    partway: Partway | None = None,
    agree: Any = None,
    log: Any = None,
) -> list[Trained]:
    """Stands for `isoflop.train.loop.run_segments`."""
    done = []
    for i, (segment, parent) in enumerate(zip(segments, parents, strict=True)):
        state: Any = np.load(parent / "state.npy") if parent else _started(segment)
        losses: list[float] = []
        if parts:
            state, losses = parts[i].state, list(parts[i].metrics["loss"])
        for step in range(segment.start + len(losses), segment.stop):
            state = _mixed(state, step, segment.recipe.optimizer.peak_lr)
            losses.append(_loss(state, step + 1))
            if partway and len(losses) % STRETCH == 0 and step + 1 < segment.stop:
                wanted = partway.wanted()
                if wanted != "nothing":
                    metrics = {"loss": np.array(losses, dtype=np.float32)}
                    partway.save([Part(state, metrics, 1.0, 0.1)])
                if wanted == "leave":
                    raise Interrupted
        metrics = {"loss": np.array(losses, dtype=np.float32)}
        done.append(Trained(state, metrics, 1.0, 0.1, 0.01, len(segments)))
    return done


def evaluate(cell: CellSpec, state: Any, *_: Any) -> np.ndarray:
    """Stands for `isoflop.train.loop.evaluate`."""
    draw = np.random.default_rng(int(state))
    return (_loss(state, cell.steps) + 0.01 * draw.normal(size=cell.eval_windows)).astype(np.float32)


def save(state: Any, path: Path) -> None:
    """Stands for `isoflop.train.checkpoint.save`."""
    path.mkdir()
    np.save(path / "state.npy", state)


def restore(recipe: Any, path: Path, how: Any) -> Any:
    """Stands for `isoflop.train.checkpoint.restore`."""
    return np.load(path / "state.npy")


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this process pretend to train, and nobody sleeps between two looks."""
    monkeypatch.setattr("isoflop.sweeps.workers.execute.run_segments", run_segments)
    monkeypatch.setattr("isoflop.sweeps.workers.execute.evaluate", evaluate)
    monkeypatch.setattr("isoflop.sweeps.workers.execute.checkpoint.save", save)
    monkeypatch.setattr("isoflop.sweeps.workers.execute.checkpoint.restore", restore)
    monkeypatch.setattr("isoflop.sweeps.stage.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("isoflop.sweeps.stage.SHARE", float("inf"))


def _started(segment: Segment) -> Any:
    """Not by the whole recipe: it names the corpus' folder, another in each test run."""
    recipe = segment.recipe
    return _mixed(recipe.init_seed, recipe.model.width, recipe.schedule.name)


def _mixed(*parts: Any) -> Any:
    digest = hashlib.blake2b(repr([str(part) for part in parts]).encode(), digest_size=7).digest()
    return np.array(int.from_bytes(digest, "big"))


def _loss(state: Any, steps: int) -> float:
    return 2.0 + 20.0 / steps + 1e-3 * (int(state) % 1000) / 1000
