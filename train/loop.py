"""Trains segments, alone or several as members of one program, and evaluates cells."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from train import checkpoint
from train.batches import CHUNK, Chunk, chunks
from train.corpus import Corpus
from train.execution import Execution
from train.schedules import learning_rates
from train.spec import CellSpec, Segment
from train.step import EVAL_BATCH, Programs, State, programs, shape_of

Progress = Callable[[int, NDArray[np.float32]], None]
"""Called with the steps done of the segments, and the latest training loss of each."""


@dataclass(frozen=True)
class Trained:
    """A segment's outcome. `metrics`, by name (steps run,): at each step `loss` in nats per token, and the
    other metrics of `train.step.Programs`; shorter than the segment if the loss stopped being finite.

    `seconds`: wall time of training; `startup_seconds`: the part of it before the first step was done, mostly
    compilation; `step_seconds`: of one step once compiled, None for a segment too short to tell. Of one of
    several `members`, all three are its share.
    """

    state: State
    metrics: dict[str, NDArray[np.float32]]
    seconds: float
    startup_seconds: float
    step_seconds: float | None
    members: int

    @property
    def losses(self) -> NDArray[np.float32]:
        """Training loss of each step."""
        return self.metrics["loss"]

    @property
    def diverged(self) -> bool:
        """Whether the last loss is not a finite number."""
        return not np.isfinite(self.losses[-1])


def run_segment(
    segment: Segment,
    corpus: Corpus,
    parent: Path | None,
    progress: Progress = lambda steps, losses: None,
    how: Execution = Execution(),
    profile: Path | None = None,
) -> Trained:
    """Trains the segment from the checkpoint `parent`, or from initialization where it is None."""
    return run_segments([segment], corpus, [parent], progress, how, profile)[0]


def run_segments(
    segments: Sequence[Segment],
    corpus: Corpus,
    parents: Sequence[Path | None],
    progress: Progress = lambda steps, losses: None,
    how: Execution = Execution(),
    profile: Path | None = None,
) -> list[Trained]:
    """Trains segments of one `pack_key` together, each from its parent's checkpoint or from initialization.

    A member whose loss stops being finite leaves the others as they are. `profile`: a folder for a trace.
    """
    began = time.perf_counter()
    if len({pack_key(segment) for segment in segments}) > 1:
        raise ValueError("segments of different shapes or steps can't be members of one program")
    program = programs(segments[0].recipe, how)
    states = [_start(s, p, program, how) for s, p in zip(segments, parents, strict=True)]
    state = states[0] if len(states) == 1 else jax.tree.map(lambda *x: jnp.stack(x), *states)
    del states
    record = _Record(progress)
    waiting: Any = None
    for number, chunk in enumerate(_joined(segments, corpus)):
        # The first stretch compiles; the second, where there is one, shows how it goes on.
        shown = number == (0 if chunk.stop == segments[0].stop else 1)
        with _traced(profile if shown else None) as traced:
            state, told = _train(program, state, segments, chunk)
            if traced:
                jax.block_until_ready(state)
        if waiting and not record.read(*waiting):  # while the device is at the next stretch
            break
        waiting = told, chunk.stop - chunk.start
    else:
        record.read(*waiting)
    return _outcomes(len(segments), state, record, began)


def pack_key(segment: Segment) -> Any:
    """Segments with equal keys can be members of one program."""
    return shape_of(segment.recipe), segment.start, segment.stop


def evaluate(
    cell: CellSpec, state: State, corpus: Corpus, how: Execution = Execution()
) -> NDArray[np.float32]:
    """Loss of each of the cell's evaluation windows (eval_windows,), nats per token."""
    context = cell.recipe.model.context_length
    windows = corpus.evaluation_windows(cell.split, context, cell.eval_windows)
    padded = windows[np.arange(len(windows) + -len(windows) % EVAL_BATCH) % len(windows)]
    losses = programs(cell.recipe, how).evaluate(state.params, padded)
    return np.asarray(losses)[: cell.eval_windows]


def _start(segment: Segment, parent: Path | None, program: Programs, how: Execution) -> State:
    recipe = segment.recipe
    return program.init(recipe.init_seed) if parent is None else checkpoint.restore(recipe, parent, how)


def _joined(segments: Sequence[Segment], corpus: Corpus) -> Iterator[Chunk]:
    """The members' chunks as one, with `rows` (M, CHUNK, B); of a single segment, its own.

    Members of one data seed share their windows, and of a resident corpus all do.
    """
    seeds = [s.recipe.data_seed for s in segments]
    different = list(dict.fromkeys(seeds))
    first = [segments[seeds.index(seed)] for seed in different]
    whose = [different.index(seed) for seed in seeds]
    for parts in zip(*(chunks(corpus, s.recipe, s.start, s.stop) for s in first), strict=True):
        if len(segments) == 1:
            yield parts[0]
            continue
        shared = all(part.windows is parts[0].windows for part in parts)
        windows = parts[0].windows if shared else jnp.concatenate([part.windows for part in parts])
        offset = 0 if shared else len(parts[0].windows)
        rows = np.stack([parts[i].rows + np.int32(i * offset) for i in whose])
        yield parts[0]._replace(windows=windows, rows=rows)


def _train(program: Programs, state: State, segments: Sequence[Segment], chunk: Chunk) -> tuple[State, Any]:
    steps = chunk.stop - chunk.start
    rates = np.zeros((len(segments), CHUNK), dtype=np.float32)
    for row, s in zip(rates, segments, strict=True):
        peak = s.recipe.optimizer.peak_lr
        row[:steps] = learning_rates(s.recipe.schedule, peak, chunk.start, chunk.stop, s.total)
    decays = np.array([s.recipe.optimizer.weight_decay for s in segments], dtype=np.float32)
    if len(segments) == 1:
        return program.train(state, chunk.windows, chunk.rows, rates[0], decays[0], steps)
    return program.train_members(state, chunk.windows, chunk.rows, rates, decays, steps)


class _Record:
    """What the stretches so far have told, metrics (M, steps), and when each was done."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.stretches: list[dict[str, NDArray[np.float32]]] = []
        self.ends: list[float] = []

    def read(self, told: dict[str, jax.Array], steps: int) -> bool:
        """Waits for a stretch's metrics; returns whether any member's loss is still a number."""
        values = {name: np.atleast_2d(np.asarray(array))[:, :steps] for name, array in told.items()}
        self.stretches.append(values)
        self.ends.append(time.perf_counter())
        latest = values["loss"][:, -1]
        self.progress(sum(stretch["loss"].shape[1] for stretch in self.stretches), latest)
        return bool(np.isfinite(latest).any())

    def pace(self) -> float | None:
        """Median seconds of a step over all stretches but the first, if there are more."""
        steps = [stretch["loss"].shape[1] for stretch in self.stretches]
        paces = [t / n for t, n in zip(np.diff(self.ends), steps[1:], strict=True)]
        return float(np.median(paces)) if paces else None


def _outcomes(members: int, state: State, record: _Record, began: float) -> list[Trained]:
    whole = {
        name: np.concatenate([stretch[name] for stretch in record.stretches], axis=1)
        for name in record.stretches[0]
    }
    pace = record.pace()
    steps_after_first = record.stretches[0]["loss"].shape[1] - 1
    startup = max(0.0, record.ends[0] - began - (pace or 0.0) * steps_after_first)
    outcomes = []
    for i in range(members):
        steps = _finite_steps(whole["loss"][i])
        outcomes.append(
            Trained(
                state=state if members == 1 else jax.tree.map(lambda x, i=i: x[i], state),
                metrics={name: values[i, :steps] for name, values in whole.items()},
                seconds=(record.ends[-1] - began) / members,
                startup_seconds=startup / members,
                step_seconds=pace / members if pace is not None else None,
                members=members,
            )
        )
    return outcomes


def _finite_steps(losses: NDArray[np.float32]) -> int:
    """Steps up to the first whose loss is no number, that one included."""
    bad = np.flatnonzero(~np.isfinite(losses))
    return int(bad[0]) + 1 if len(bad) else len(losses)


@contextlib.contextmanager
def _traced(folder: Path | None) -> Iterator[bool]:
    """Traces its body, which must wait for what it started, into `folder`; says whether it does."""
    if folder is None:
        yield False
        return
    with jax.profiler.trace(str(folder), create_perfetto_trace=True):
        yield True
