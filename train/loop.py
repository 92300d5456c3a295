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

from isoflop.train import checkpoint
from isoflop.train.data.batches import CHUNK, Chunk, chunks
from isoflop.train.data.corpus import Corpus
from isoflop.train.execution import Execution
from isoflop.train.result import Evaluation
from isoflop.train.schedules import learning_rates
from isoflop.train.spec import CellSpec, Segment
from isoflop.train.step import EVAL_BATCH, TrainState, programs, shape_of

Metrics = dict[str, NDArray[np.float32]]
"""By name, a number a step: `loss` in nats per token, and the others of `isoflop.train.step.Programs`."""

STRETCH_SECONDS = 5.0
"""The longest stretch, and so the longest wait until training can be stopped, once a step's time is known."""

FIRST_STEPS = 16
"""Steps of the first stretch, from which a step's time is learnt."""


@dataclass(frozen=True)
class Trained:
    """A segment, whole or half-way. `metrics` (steps done,) end with the first loss that isn't finite.

    `seconds`: wall time of training; `startup_seconds`: the part of it before the first step was done, mostly
    compilation; `step_seconds`: of one step once compiled, None where too few were taken. For one of several
    `members`, all three are its share.
    """

    state: TrainState
    metrics: Metrics
    seconds: float
    startup_seconds: float
    step_seconds: float | None = None
    members: int = 1

    @property
    def losses(self) -> NDArray[np.float32]:
        """Training loss of each step."""
        return self.metrics["loss"]

    @property
    def steps(self) -> int:
        """Steps done of the segment."""
        return len(self.losses)

    @property
    def diverged(self) -> bool:
        """Whether the last loss is not a finite number."""
        return not np.isfinite(self.losses[-1])


Start = Path | Trained | None
"""Where a segment's training begins: its parent's checkpoint, its own first steps, or initialization."""


def run_segment(
    segment: Segment,
    corpus: Corpus,
    start: Start,
    execution: Execution = Execution(),
    teacher_params: Any = None,
) -> Trained:
    """Train one segment to its end."""
    return run_segments([segment], corpus, [start], execution, teacher_params)[0]


def run_segments(
    segments: Sequence[Segment],
    corpus: Corpus,
    starts: Sequence[Start],
    execution: Execution = Execution(),
    teacher_params: Any = None,
) -> list[Trained]:
    """Train segments of one `pack_key` together to their end."""
    run = TrainingRun(segments, corpus, starts, execution, teacher_params=teacher_params)
    for _ in run:
        pass
    return run.trained()


class TrainingRun:
    """Segments of one `pack_key` in training together: an iterator over stretches of steps.

    An iteration starts a stretch on the device and, while the device works on it, waits for the metrics of
    the stretch before. It yields the metrics (M, steps) that have come since the last time, {} if none have.
    Between two iterations the caller may take the segments as they stand (`trained`), or stop.
    A member whose loss stops being finite leaves the others as they are; when all have, iteration ends.

    `starts`: of each segment, all alike in the steps done. `profile`: a folder for a profiler's trace.
    `agree`: maps this process' wish for the length of the next stretch to the one that all processes take.
    `teacher_params`: of the recipes' teacher, where they have one: a tree of arrays.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        corpus: Corpus,
        starts: Sequence[Start],
        execution: Execution = Execution(),
        *,
        profile: Path | None = None,
        agree: Callable[[int], int] = lambda steps: steps,
        teacher_params: Any = None,
    ) -> None:
        parts = [start for start in starts if isinstance(start, Trained)]
        if len({pack_key(segment) for segment in segments}) > 1 or len({part.steps for part in parts}) > 1:
            raise ValueError("segments of different shapes or steps can't be members of one program")
        if (segments[0].recipe.distillation is None) != (teacher_params is None):
            raise ValueError("a recipe with a teacher is trained with its parameters, one without has none")
        self.teacher_params = () if teacher_params is None else (teacher_params,)
        self.segments, self.corpus = segments, corpus
        self.profile, self.agree = profile, agree
        self.recorder = MetricsRecorder(parts)
        self.program = programs(segments[0].recipe, execution)
        states = [
            _initial_state(segment, start, execution) for segment, start in zip(segments, starts, strict=True)
        ]
        self.state = states[0] if len(states) == 1 else _stacked(*states)
        self.done = False
        """Whether the last stretch was started: there is nothing left to stop."""
        self._unread: tuple[dict[str, jax.Array], int] | None = None

    def __iter__(self) -> Iterator[Metrics]:
        start, stop = self.segments[0].start + self.recorder.steps, self.segments[0].stop
        joined = _joined_chunks(self.segments, self.corpus, start)
        for number, chunk in enumerate(self._stretches(joined)):
            # The first stretch compiles; the second, where there is one, shows how it goes on.
            shown = number == (0 if chunk.stop == stop else 1)
            with _traced(self.profile if shown else None) as traced:
                metrics = self._start_stretch(chunk)
                if traced:
                    jax.block_until_ready(self.state)
            self._read()  # what came before, while the device works on this stretch
            if self.recorder.diverged:
                break
            self._unread = metrics, chunk.stop - chunk.start
            self.done = chunk.stop == stop
            yield self.recorder.since_last()
        self.done = True
        self._read()
        yield self.recorder.since_last()

    def trained(self) -> list[Trained]:
        """Return each segment as it stands after the steps started so far, which this waits for."""
        self._read()
        members, metrics = len(self.segments), self.recorder.metrics()
        seconds, startup_seconds = self.recorder.clock()
        step_seconds = self.recorder.step_seconds()
        trained = []
        for i in range(members):
            steps = _finite_steps(metrics["loss"][i])
            trained.append(
                Trained(
                    state=self.state if members == 1 else _member(self.state, i),
                    metrics={name: values[i, :steps] for name, values in metrics.items()},
                    seconds=seconds / members,
                    startup_seconds=startup_seconds / members,
                    step_seconds=None if step_seconds is None else step_seconds / members,
                    members=members,
                )
            )
        return trained

    @property
    def steps(self) -> int:
        """Steps of each segment whose metrics are known."""
        return self.recorder.steps

    def _read(self) -> None:
        if self._unread:
            self.recorder.read(*self._unread)
            self._unread = None

    def _stretches(self, joined: Iterator[Chunk]) -> Iterator[Chunk]:
        """The chunks, cut where they would take longer than STRETCH_SECONDS at the pace so far."""
        most = FIRST_STEPS
        for chunk in joined:
            while chunk.stop - chunk.start > most:
                middle = chunk.start + most
                yield chunk._replace(stop=middle)
                rows = np.roll(chunk.rows, -most, axis=-2)
                chunk = chunk._replace(start=middle, rows=rows)
                most = self.agree(self.recorder.affordable_steps())
            yield chunk
            most = self.agree(self.recorder.affordable_steps())

    def _start_stretch(self, chunk: Chunk) -> dict[str, jax.Array]:
        """Replace the state by that after the chunk's steps; return their metrics, none of it waited for."""
        steps = chunk.stop - chunk.start
        rates = np.zeros((len(self.segments), CHUNK), dtype=np.float32)
        for row, segment in zip(rates, self.segments, strict=True):
            recipe = segment.recipe
            row[:steps] = learning_rates(
                recipe.schedule, recipe.optimizer.peak_lr, chunk.start, chunk.stop, segment.total
            )
        decays = np.array([segment.recipe.optimizer.weight_decay for segment in self.segments], np.float32)
        if len(self.segments) == 1:
            train, rates, decays = self.program.train, rates[0], decays[0]
        else:
            train = self.program.train_members
        inputs = chunk.windows, chunk.rows, rates, decays, steps
        self.state, metrics = train(self.state, *inputs, *self.teacher_params)
        return metrics


class MetricsRecorder:
    """The metrics (M, steps) read so far, and when each stretch's came; `parts`: what earlier processes did.

    The clock starts when the recorder is made.
    """

    def __init__(self, parts: Sequence[Trained]) -> None:
        self.began = time.perf_counter()
        names = parts[0].metrics if parts else ()
        before = {name: np.stack([part.metrics[name] for part in parts]) for name in names}
        self.stretches: list[Metrics] = [before] if before else []
        self.seconds_before = sum(part.seconds for part in parts)
        self.startup_before = sum(part.startup_seconds for part in parts)
        self.lengths: list[int] = []
        """Steps of each stretch of this process."""
        self.times: list[float] = []
        """When its metrics had come."""
        self._given = 0

    @property
    def steps(self) -> int:
        """Steps of each segment."""
        return sum(stretch["loss"].shape[1] for stretch in self.stretches)

    @property
    def diverged(self) -> bool:
        """Whether every member's last loss is not a finite number."""
        return bool(self.stretches) and not np.isfinite(self.stretches[-1]["loss"][:, -1]).any()

    def read(self, arrays: dict[str, jax.Array], steps: int) -> None:
        """Wait for a stretch's metrics."""
        self.stretches.append(
            {name: np.atleast_2d(np.asarray(array))[:, :steps] for name, array in arrays.items()}
        )
        self.lengths.append(steps)
        self.times.append(time.perf_counter())

    def since_last(self) -> Metrics:
        """The metrics that this has not returned before, those of `parts` first; {} if there are none."""
        new, self._given = self.stretches[self._given :], len(self.stretches)
        return _concatenated(new)

    def metrics(self) -> Metrics:
        """All metrics so far."""
        return _concatenated(self.stretches)

    def step_seconds(self) -> float | None:
        """Median seconds of a step over all stretches of this process but the first, if there are more."""
        return float(np.median(np.diff(self.times) / self.lengths[1:])) if len(self.times) > 1 else None

    def affordable_steps(self) -> int:
        """Steps of a stretch of STRETCH_SECONDS."""
        pace = self.step_seconds()
        return FIRST_STEPS if pace is None else max(1, int(STRETCH_SECONDS / max(pace, 1e-9)))

    def clock(self) -> tuple[float, float]:
        """Seconds of all members together: of the whole, and before the first step was done."""
        # The first metrics came when the whole first stretch was done: its other steps are no start-up.
        others = self.lengths[0] - 1
        startup = self.times[0] - self.began - (self.step_seconds() or 0.0) * others
        return self.seconds_before + self.times[-1] - self.began, self.startup_before + max(0.0, startup)


def pack_key(segment: Segment) -> Any:
    """The key that segments must share to be members of one program, and of one corpus and teacher."""
    recipe = segment.recipe
    return shape_of(recipe), recipe.data, recipe.distillation, segment.start, segment.stop


def evaluate(
    cell: CellSpec, state: TrainState, corpus: Corpus, execution: Execution = Execution()
) -> Evaluation:
    """A cell's model on its evaluation windows of a corpus: the recipe's own, or one of the same tokens."""
    context = cell.recipe.model.context_length
    windows = corpus.evaluation_windows(cell.split, context, cell.eval_windows)
    # The compiled program takes whole batches: the last is filled up with windows from the beginning.
    padded = windows[np.arange(len(windows) + -len(windows) % EVAL_BATCH) % len(windows)]
    scores = programs(cell.recipe, execution).evaluate(state.params, padded)
    return Evaluation(*(np.asarray(x)[: cell.eval_windows] for x in scores))


def _initial_state(segment: Segment, start: Start, execution: Execution) -> TrainState:
    if isinstance(start, Trained):
        return start.state
    if start is None:
        return programs(segment.recipe, execution).init(segment.recipe.init_seed)
    return checkpoint.restore(segment.recipe, start, execution)


# One program each, where a GPU would compile one for every shape of array.
@jax.jit
def _stacked(*states: TrainState) -> TrainState:
    return jax.tree.map(lambda *x: jnp.stack(x), *states)


@jax.jit
def _member(stacked: TrainState, number: int) -> TrainState:
    return jax.tree.map(lambda x: x[number], stacked)


def _joined_chunks(segments: Sequence[Segment], corpus: Corpus, start: int) -> Iterator[Chunk]:
    """The members' chunks from step `start` on, joined, with `rows` (M, CHUNK, B); a single segment's own.

    Members of one data order share their windows, and of a resident corpus all do.
    """
    if len(segments) == 1:
        yield from chunks(corpus, segments[0].recipe.data_order, start, segments[0].stop)
        return
    orders = [segment.recipe.data_order for segment in segments]
    distinct = list(dict.fromkeys(orders))
    reader = [distinct.index(order) for order in orders]
    stop = segments[0].stop
    for parts in zip(*(chunks(corpus, order, start, stop) for order in distinct), strict=True):
        shared = all(part.windows is parts[0].windows for part in parts)
        windows = parts[0].windows if shared else jnp.concatenate([part.windows for part in parts])
        offset = 0 if shared else len(parts[0].windows)
        rows = np.stack([parts[i].rows + np.int32(i * offset) for i in reader])
        yield parts[0]._replace(windows=windows, rows=rows)


def _concatenated(stretches: Sequence[Metrics]) -> Metrics:
    names = stretches[0] if stretches else ()
    return {name: np.concatenate([stretch[name] for stretch in stretches], axis=1) for name in names}


def _finite_steps(losses: NDArray[np.float32]) -> int:
    """Steps up to the first whose loss is not a finite number, that one included."""
    bad = np.flatnonzero(~np.isfinite(losses))
    return int(bad[0]) + 1 if len(bad) else len(losses)


@contextlib.contextmanager
def _traced(folder: Path | None) -> Iterator[bool]:
    """Trace the body, which must wait for what it started, into `folder`; the value says whether it does."""
    if folder is None:
        yield False
        return
    with jax.profiler.trace(str(folder), create_perfetto_trace=True):
        yield True
