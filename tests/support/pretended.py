"""Training that takes no time: a state is a number mixed with each step's, so that whatever is lost, repeated
or taken from the wrong place shows in every loss after it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.train.loop import Metrics, Start, Trained
from isoflop.train.result import Evaluation
from isoflop.train.spec import CellSpec, Segment

STRETCH = 20


class PretendedRun:
    """Stands for `isoflop.train.loop.TrainingRun`."""

    def __init__(
        self,
        segments: Sequence[Segment],
        corpus: Any,
        starts: Sequence[Start],
        execution: Any = None,
        *,
        profile: Path | None = None,
        agree: Any = None,
        teacher_params: Any = None,
    ) -> None:
        self.segments, self.done = segments, False
        self.states: list[Any] = []
        self.losses: list[list[float]] = []
        for segment, start in zip(segments, starts, strict=True):
            if isinstance(start, Trained):
                state, losses = start.state, list(start.losses)
            else:
                state, losses = np.load(start / "state.npy") if start else _started(segment), []
            self.states.append(state)
            self.losses.append(losses)

    @property
    def steps(self) -> int:
        """Steps done of each segment."""
        return len(self.losses[0])

    def __iter__(self) -> Iterator[Metrics]:
        while not self.done:
            first = self.segments[0].start + self.steps
            stop = min(self.segments[0].stop, (self.steps // STRETCH + 1) * STRETCH + self.segments[0].start)
            for i, segment in enumerate(self.segments):
                for step in range(first, stop):
                    self.states[i] = _mixed(self.states[i], step, segment.recipe.optimizer.peak_lr)
                    self.losses[i].append(_loss(self.states[i], step + 1))
            self.done = stop == self.segments[0].stop
            yield {"loss": np.array(self.losses, dtype=np.float32)[:, first - stop :]}

    def trained(self) -> list[Trained]:
        """The segments as they stand."""
        return [
            Trained(state, {"loss": np.array(losses, dtype=np.float32)}, 1.0, 0.1, 0.01, len(self.segments))
            for state, losses in zip(self.states, self.losses, strict=True)
        ]


def evaluate(cell: CellSpec, state: Any, corpus: Any, execution: Any = None) -> Evaluation:
    """Stands for `isoflop.train.loop.evaluate`."""
    draw = np.random.default_rng(int(state))
    losses = _loss(state, cell.steps) + 0.01 * draw.normal(size=cell.eval_windows)
    return Evaluation(losses.astype(np.float32), np.exp(-losses).astype(np.float32))


def save(state: Any, path: Path) -> None:
    """Stands for `isoflop.train.checkpoint.save`."""
    path.mkdir()
    np.save(path / "state.npy", state)


def restore(recipe: Any, path: Path, execution: Any = None) -> Any:
    """Stands for `isoflop.train.checkpoint.restore`."""
    return np.load(path / "state.npy")


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this process pretend to train, and nobody sleeps between two looks."""
    pretend_to_train(monkeypatch)


def pretend_to_train(patch: pytest.MonkeyPatch) -> None:
    """What the fixture does, for as long as the patch holds."""
    patch.setattr("isoflop.sweeps.workers.execute.TrainingRun", PretendedRun)
    patch.setattr("isoflop.sweeps.workers.execute.evaluate", evaluate)
    patch.setattr("isoflop.sweeps.workers.execute.checkpoint.save", save)
    patch.setattr("isoflop.sweeps.workers.execute.checkpoint.restore", restore)
    patch.setattr("isoflop.sweeps.stage.POLL_SECONDS", 0.0)
    patch.setattr("isoflop.sweeps.stage.POLL_SHARE", float("inf"))


def _started(segment: Segment) -> Any:
    """Not by the whole recipe: it names the corpus' folder, another in each test run."""
    recipe = segment.recipe
    return _mixed(recipe.init_seed, recipe.model.width, recipe.schedule.name)


def _mixed(*parts: Any) -> Any:
    digest = hashlib.blake2b(repr([str(part) for part in parts]).encode(), digest_size=7).digest()
    return np.array(int.from_bytes(digest, "big"))


def _loss(state: Any, steps: int) -> float:
    return 2.0 + 20.0 / steps + 1e-3 * (int(state) % 1000) / 1000
