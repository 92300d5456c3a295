"""Trains segments, alone or several as members of one program, and evaluates cells."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from isoflop.train import checkpoint
from isoflop.train.data.batches import CHUNK, Chunk, chunks
from isoflop.train.data.corpus import Corpus
from isoflop.train.execution import Execution
from isoflop.train.schedules import learning_rates
from isoflop.train.spec import CellSpec, Segment
from isoflop.train.step import EVAL_BATCH, Programs, TrainState, programs, shape_of

Progress = Callable[[int, NDArray[np.float32]], None]
"""Called with the steps done of the segments, and the latest training loss of each."""

STRETCH_SECONDS = 5.0
"""The longest stretch between two looks at `Partway.wanted`, once a step's time is known."""

FIRST_STEPS = 16
"""Steps of the first stretch, from which a step's time is learnt."""


@dataclass(frozen=True)
class Part:
    """A segment half-way: its state after some steps, and the metrics (steps,) of those. `seconds` and
    `startup_seconds` as in `Trained`."""

    state: TrainState
    metrics: dict[str, NDArray[np.float32]]
    seconds: float
    startup_seconds: float

    @property
    def steps(self) -> int:
        """Steps done of the segment."""
        return len(self.metrics["loss"])


class Interrupted(Exception):  # noqa: N818  # asked for, no error
    """Training stopped half-way, as it was told to; what it had is saved."""


class Partway(Protocol):
    """Asked between stretches of steps whether to save what there is, and whether to stop there."""

    def wanted(self) -> Literal["nothing", "save", "leave"]:
        """What to do now."""
        ...

    def save(self, parts: Sequence[Part]) -> None:
        """Takes what the segments have so far, one part a segment."""
        ...


@dataclass(frozen=True)
class Trained:
    """A segment's outcome. `metrics`, by name (steps run,): at each step `loss` in nats per token, and the
    other metrics of `isoflop.train.step.Programs`; shorter than the segment if the loss stopped being finite.

    `seconds`: wall time of training; `startup_seconds`: the part of it before the first step was done, mostly
    compilation; `step_seconds`: of one step once compiled, None for a segment too short to tell. Of one of
    several `members`, all three are its share.
    """

    state: TrainState
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
    *,
    parts: Sequence[Part] = (),
    partway: Partway | None = None,
    agree: Callable[[int], int] = lambda steps: steps,
    log: Callable[[dict[str, NDArray[np.float32]]], None] = lambda metrics: None,
) -> list[Trained]:
    """Trains segments of one `pack_key` together, each from its parent's checkpoint or from initialization,
    or from `parts`, as many steps into each.

    A member whose loss stops being finite leaves the others as they are. `profile`: a folder for a trace.
    `log`: takes the metrics (M, steps) of each stretch, first those of `parts`. `agree`: of several
    processes' lengths of the next stretch, the one that all take. Raises `Interrupted` once `partway` has
    been told to leave and has saved.
    """
    began = time.perf_counter()
    if len({pack_key(segment) for segment in segments}) > 1 or len({part.steps for part in parts}) > 1:
        raise ValueError("segments of different shapes or steps can't be members of one program")
    program = programs(segments[0].recipe, how)
    if parts:
        states = [part.state for part in parts]
    else:
        states = [_start(s, p, program, how) for s, p in zip(segments, parents, strict=True)]
    state = states[0] if len(states) == 1 else jax.tree.map(lambda *x: jnp.stack(x), *states)
    del states
    record = _Record(progress, parts, began, log)
    waiting: Any = None
    start = segments[0].start + record.steps
    for number, chunk in enumerate(_stretches(_joined(segments, corpus, start), record, agree)):
        # The first stretch compiles; the second, where there is one, shows how it goes on.
        shown = number == (0 if chunk.stop == segments[0].stop else 1)
        with _traced(profile if shown else None) as traced:
            state, told = _train(program, state, segments, chunk)
            if traced:
                jax.block_until_ready(state)
        if waiting and not record.read(*waiting):  # while the device is at the next stretch
            break
        waiting = told, chunk.stop - chunk.start
        wanted = partway.wanted() if partway and chunk.stop < segments[0].stop else "nothing"
        if partway and wanted != "nothing":
            if not record.read(*waiting):
                break
            waiting = None
            partway.save(record.parts(state, len(segments)))
            if wanted == "leave":
                raise Interrupted
    else:
        if waiting:
            record.read(*waiting)
    return _outcomes(len(segments), state, record)


def pack_key(segment: Segment) -> Any:
    """Segments with equal keys can be members of one program."""
    return shape_of(segment.recipe), segment.start, segment.stop


def evaluate(
    cell: CellSpec, state: TrainState, corpus: Corpus, how: Execution = Execution()
) -> NDArray[np.float32]:
    """Loss of each of the cell's evaluation windows (eval_windows,), nats per token."""
    context = cell.recipe.model.context_length
    windows = corpus.evaluation_windows(cell.split, context, cell.eval_windows)
    padded = windows[np.arange(len(windows) + -len(windows) % EVAL_BATCH) % len(windows)]
    losses = programs(cell.recipe, how).evaluate(state.params, padded)
    return np.asarray(losses)[: cell.eval_windows]


def _start(segment: Segment, parent: Path | None, program: Programs, how: Execution) -> TrainState:
    recipe = segment.recipe
    return program.init(recipe.init_seed) if parent is None else checkpoint.restore(recipe, parent, how)


def _stretches(chunks: Iterator[Chunk], record: _Record, agree: Callable[[int], int]) -> Iterator[Chunk]:
    """The chunks, cut where they would take longer than STRETCH_SECONDS by the record's pace."""
    most = FIRST_STEPS
    for chunk in chunks:
        while chunk.stop - chunk.start > most:
            middle = chunk.start + most
            yield chunk._replace(stop=middle)
            rows = np.roll(chunk.rows, -most, axis=-2)
            chunk = chunk._replace(start=middle, rows=rows)
            most = agree(record.most_steps())
        yield chunk
        most = agree(record.most_steps())


def _joined(segments: Sequence[Segment], corpus: Corpus, start: int) -> Iterator[Chunk]:
    """The members' chunks from step `start` on, joined, with `rows` (M, CHUNK, B); a single segment's own.

    Members of one data seed share their windows, and of a resident corpus all do.
    """
    seeds = [s.recipe.data_seed for s in segments]
    different = list(dict.fromkeys(seeds))
    first = [segments[seeds.index(seed)] for seed in different]
    whose = [different.index(seed) for seed in seeds]
    for parts in zip(*(chunks(corpus, s.recipe, start, s.stop) for s in first), strict=True):
        if len(segments) == 1:
            yield parts[0]
            continue
        shared = all(part.windows is parts[0].windows for part in parts)
        windows = parts[0].windows if shared else jnp.concatenate([part.windows for part in parts])
        offset = 0 if shared else len(parts[0].windows)
        rows = np.stack([parts[i].rows + np.int32(i * offset) for i in whose])
        yield parts[0]._replace(windows=windows, rows=rows)


def _train(
    program: Programs, state: TrainState, segments: Sequence[Segment], chunk: Chunk
) -> tuple[TrainState, Any]:
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
    """What the stretches so far have told, metrics (M, steps), and when each was done; after `parts`, which
    earlier processes did."""

    def __init__(self, progress: Progress, parts: Sequence[Part], began: float, log: Any) -> None:
        self.progress, self.began, self.log = progress, began, log
        told = parts[0].metrics if parts else ()
        self.before = {name: np.stack([part.metrics[name] for part in parts]) for name in told}
        if self.before:
            log(self.before)
        self.seconds_before = sum(part.seconds for part in parts)
        self.startup_before = sum(part.startup_seconds for part in parts)
        self.stretches: list[dict[str, NDArray[np.float32]]] = []
        self.ends: list[float] = []

    @property
    def steps(self) -> int:
        """Steps done of each segment."""
        done = self.before["loss"].shape[1] if self.before else 0
        return done + sum(stretch["loss"].shape[1] for stretch in self.stretches)

    def read(self, told: dict[str, jax.Array], steps: int) -> bool:
        """Waits for a stretch's metrics; returns whether any member's loss is still a number."""
        values = {name: np.atleast_2d(np.asarray(array))[:, :steps] for name, array in told.items()}
        self.stretches.append(values)
        self.log(values)
        self.ends.append(time.perf_counter())
        latest = values["loss"][:, -1]
        self.progress(self.steps, latest)
        return bool(np.isfinite(latest).any())

    def pace(self) -> float | None:
        """Median seconds of a step over all stretches but the first, if there are more."""
        steps = [stretch["loss"].shape[1] for stretch in self.stretches]
        paces = [t / n for t, n in zip(np.diff(self.ends), steps[1:], strict=True)]
        return float(np.median(paces)) if paces else None

    def most_steps(self) -> int:
        """Steps of a stretch of STRETCH_SECONDS."""
        pace = self.pace()
        return FIRST_STEPS if pace is None else max(1, int(STRETCH_SECONDS / max(pace, 1e-9)))

    def metrics(self) -> dict[str, NDArray[np.float32]]:
        """All metrics so far (M, steps)."""
        parts = [*([self.before] if self.before else []), *self.stretches]
        return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}

    def clock(self) -> tuple[float, float]:
        """Seconds of all members together: of it all, and before the first step was done."""
        after_first = self.stretches[0]["loss"].shape[1] - 1
        startup = max(0.0, self.ends[0] - self.began - (self.pace() or 0.0) * after_first)
        return self.seconds_before + self.ends[-1] - self.began, self.startup_before + startup

    def parts(self, state: TrainState, members: int) -> list[Part]:
        """What each member has so far."""
        metrics, (seconds, startup) = self.metrics(), self.clock()
        return [
            Part(
                state=_member(state, i, members),
                metrics={name: values[i] for name, values in metrics.items()},
                seconds=seconds / members,
                startup_seconds=startup / members,
            )
            for i in range(members)
        ]


def _outcomes(members: int, state: TrainState, record: _Record) -> list[Trained]:
    whole, pace, (seconds, startup) = record.metrics(), record.pace(), record.clock()
    outcomes = []
    for i in range(members):
        steps = _finite_steps(whole["loss"][i])
        outcomes.append(
            Trained(
                state=_member(state, i, members),
                metrics={name: values[i, :steps] for name, values in whole.items()},
                seconds=seconds / members,
                startup_seconds=startup / members,
                step_seconds=pace / members if pace is not None else None,
                members=members,
            )
        )
    return outcomes


def _member(state: TrainState, i: int, members: int) -> TrainState:
    return state if members == 1 else jax.tree.map(lambda x: x[i], state)


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
