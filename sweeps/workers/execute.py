"""One unit of work, wherever it runs: train segments together and evaluate the cells they complete."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.base.durable import CorruptRecordError, new_folder
from isoflop.base.json_values import to_json
from isoflop.base.provenance import Provenance, provenance
from isoflop.sweeps.queue.live_metrics import LiveLog, cell_rates
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.queue.task import Task
from isoflop.sweeps.teachers import load_teacher
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.sweeps.workers.process_group import ALONE, ProcessGroup
from isoflop.train import checkpoint
from isoflop.train.data.corpus import Corpus, load
from isoflop.train.device import device_name
from isoflop.train.execution import Execution
from isoflop.train.loop import Start, Trained, TrainingRun, evaluate
from isoflop.train.result import Clock, Evaluation, curve, measured
from isoflop.train.spec import CellSpec, DataSpec, Recipe, Segment
from isoflop.train.step import TrainState

Progress = Callable[[int, NDArray[np.float32]], None]
"""Takes the steps done of the segments, and the latest training loss of each (M,)."""


class Interrupted(Exception):  # noqa: N818  # asked for, no error
    """Training stopped half-way, as it was asked to; what it had is saved."""


@dataclass(frozen=True)
class PackContext:
    """What the training of a pack asks of its worker, and reports to it.

    `should_leave`: whether to stop at the next chance; `is_held`: whether the task of that number is still
    the worker's own to file. `group`: the processes that train together; only the leader is asked.
    """

    options: WorkerOptions = WorkerOptions()
    on_progress: Progress = lambda steps, losses: None
    should_leave: Callable[[], bool] = lambda: False
    is_held: Callable[[int], bool] = lambda number: True
    group: ProcessGroup = ALONE

    def holds(self, number: int) -> bool:
        """The leader's answer to `is_held`, in every process of the group."""
        return self.group.broadcast(self.is_held(number) if self.group.is_leader else None)


def prepare(tasks: Sequence[Task], store: Store) -> int:
    """Return the steps that were done of the tasks before, all alike, or 0.

    Raises `CorruptRecordError` for a record on the way that is not what was written, and sets it aside.
    """
    for task in tasks if any(task.cell for task in tasks) else ():
        for before in task.path[:-1]:
            store.checked(store.segment(before))
    names = [task.segment.segment_id for task in tasks]
    left = store.contents().partial
    steps = {left.get(name, 0) for name in names}
    if len(steps) == 1 and 0 not in steps:
        done = steps.pop()
        try:
            for name in names:
                store.checked(store.partial(name, done))
            return done
        except CorruptRecordError:  # from the start then, or from what the next look finds
            pass
    for task in tasks:
        if task.segment.parent:
            store.checked(store.checkpoint(task.segment.parent))
    return 0


def execute(tasks: Sequence[Task], store: Store, done: int, context: PackContext = PackContext()) -> None:
    """Train the tasks of one pack, of which `prepare` found so many steps done, and file their results; each
    record appears whole or not at all.

    A segment whose training or evaluation loss stops being finite is filed as diverged, without a checkpoint.
    Raises `Interrupted` once asked to leave, when what there is has been saved.
    """
    corpus = _corpus(tasks[0].corpus, tasks[0].segment.recipe.data)
    trained = _train(tasks, store, corpus, done, context)
    for number, (task, outcome) in enumerate(zip(tasks, trained, strict=True)):
        _file(task, store, corpus, outcome, context, number)


def _train(
    tasks: Sequence[Task], store: Store, corpus: Corpus, done: int, context: PackContext
) -> list[Trained]:
    """Train to the end; save every `checkpoint_minutes`, and before leaving."""
    segments, options, group = [task.segment for task in tasks], context.options, context.group
    execution = options.execution
    run = TrainingRun(
        segments,
        corpus,
        [_start(segment, store, done, execution) for segment in segments],
        execution,
        profile=store.profile(segments[0].recipe.model.width) if execution.profile else None,
        agree=group.broadcast,
        teacher_params=_teacher_params(segments[0].recipe, store),
    )
    names = [segment.segment_id for segment in segments] if group.is_leader else []
    saved = time.monotonic()
    with contextlib.closing(LiveLog(store, names)) as live:
        for metrics in run:
            if metrics:
                live.append(metrics)
                context.on_progress(run.steps, metrics["loss"][:, -1])
            if run.done:
                continue
            due = time.monotonic() - saved > 60 * options.checkpoint_minutes
            save, leave = group.broadcast([due, context.should_leave()])
            if not (save or leave):
                continue
            parts = run.trained()
            if all(part.diverged for part in parts):
                continue  # the run ends by itself
            _save_parts(tasks, parts, store, context)
            saved = time.monotonic()
            if leave:
                raise Interrupted
    return run.trained()


def _teacher_params(recipe: Recipe, store: Store) -> Any:
    if recipe.distillation is None:
        return None
    teacher = recipe.distillation.teacher
    return load_teacher(store.teacher(teacher.cell_id), teacher)


@lru_cache(maxsize=8)
def _corpus(folder: str, data: DataSpec) -> Corpus:
    return load(Path(folder), data)


def _start(segment: Segment, store: Store, done: int, execution: Execution) -> Start:
    if not done:
        return store.checkpoint(segment.parent) / "state" if segment.parent else None
    folder = store.partial(segment.segment_id, done)
    state = checkpoint.restore(segment.recipe, folder / "state", execution)
    clock = json.loads((folder / "part.json").read_text())
    return Trained(state, dict(np.load(folder / "metrics.npz")), **clock)


def _save_parts(tasks: Sequence[Task], parts: Sequence[Trained], store: Store, context: PackContext) -> None:
    for number, (task, part) in enumerate(zip(tasks, parts, strict=True)):
        name = task.segment.segment_id
        if not part.diverged and context.holds(number):
            _save(part.state, store.partial(name, part.steps), context.group, partial(_describe_part, part))
            store.drop_partials(name, below=part.steps)


def _save(
    state: TrainState, target: Path, group: ProcessGroup, fill: Callable[[Path], None] = lambda folder: None
) -> None:
    """File a state, of which each process of the group may hold a part, and what `fill` adds to it."""
    if not group.is_leader:
        checkpoint.save(state, target)  # its part goes to the first process, which writes
        return
    with new_folder(target) as folder:
        checkpoint.save(state, folder / "state")
        fill(folder)


def _describe_part(part: Trained, folder: Path) -> None:
    _save_metrics(part.metrics, folder)
    clock = {"seconds": part.seconds, "startup_seconds": part.startup_seconds}
    (folder / "part.json").write_text(json.dumps(clock))


def _file(
    task: Task, store: Store, corpus: Corpus, trained: Trained, context: PackContext, number: int
) -> None:
    name = task.segment.segment_id
    evaluation, further = None, {}
    if task.cell and not trained.diverged:
        execution = context.options.execution
        evaluation = evaluate(task.cell, trained.state, corpus, execution)
        for source in task.cell.eval_data:
            data = DataSpec(source, corpus.spec.tokenizer, "")
            other = _corpus(task.eval_corpora[source], data)
            further[source] = evaluate(task.cell, trained.state, other, execution)
    diverged = trained.diverged or (evaluation is not None and not np.isfinite(evaluation.losses).all())
    if not context.holds(number):
        return  # another has taken over
    if task.save and not diverged:
        _save(trained.state, store.checkpoint(name), context.group)
    if not context.group.is_leader:
        return
    if task.cell and evaluation is not None and not diverged:
        devices = context.options.execution.devices
        _file_cell(task, task.cell, store, corpus, trained, evaluation, further, devices)
    _file_segment(task.segment, store.diverged(name) if diverged else store.segment(name), trained, diverged)
    store.drop_partials(name)
    store.live(name).unlink(missing_ok=True)


def _file_segment(segment: Segment, record: Path, trained: Trained, diverged: bool) -> None:
    with new_folder(record) as folder:
        _save_metrics(trained.metrics, folder)
        facts = {
            "segment": to_json(segment),
            "diverged_at": segment.start + len(trained.losses) if diverged else None,
            "flops": segment.flops,
            "seconds": trained.seconds,
            "startup_seconds": trained.startup_seconds,
            "step_seconds": trained.step_seconds,
            "members": trained.members,
            "device": device_name(),
            "provenance": provenance().to_json(),
        }
        (folder / "segment.json").write_text(json.dumps(facts, indent=1))


def _save_metrics(metrics: dict[str, NDArray[np.float32]], folder: Path) -> None:
    np.savez(folder / "metrics.npz", **metrics)  # pyright: ignore[reportArgumentType]  # arrays by name


def _file_cell(
    task: Task,
    cell: CellSpec,
    store: Store,
    corpus: Corpus,
    trained: Trained,
    evaluation: Evaluation,
    further: dict[str, Evaluation],
    devices: int,
) -> None:
    before = [store.segment(s) for s in task.path[:-1]]
    parts = [*(np.load(f / "metrics.npz") for f in before), trained.metrics]
    metrics = {name: np.concatenate([part[name] for part in parts]) for name in trained.metrics}
    own = {"flops": task.segment.flops} | vars(trained)
    facts = [json.loads((f / "segment.json").read_text()) for f in before]
    clock = _clock(cell, [*facts, own])
    origin = provenance()
    result = measured(
        cell,
        corpus,
        evaluation=evaluation,
        further=further,
        metrics=metrics,
        clock=clock,
        device=device_name(),
        devices=devices,
        trained_by=[*(Provenance(**f["provenance"]) for f in facts if "provenance" in f), origin],
    )
    with new_folder(store.cell(cell.cell_id)) as folder:
        np.save(folder / "windows.npy", evaluation.losses)
        points = curve(cell, metrics, cell_rates(cell))
        (folder / "curve.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
        record = {"cell": to_json(cell), "result": to_json(result), "provenance": origin.to_json()}
        (folder / "cell.json").write_text(json.dumps(record, indent=1))


def _clock(cell: CellSpec, parts: Sequence[dict[str, Any]]) -> Clock:
    """A cell's clock from the segments on its path; a step's time is that of those long enough to time."""
    training = sum(part["seconds"] for part in parts)
    timed = [part for part in parts if part["step_seconds"] is not None]
    shares = np.array([part["flops"] for part in timed], dtype=float)
    paces = [part["step_seconds"] for part in timed]
    return Clock(
        training=training,
        first_step=parts[0]["startup_seconds"] * parts[0]["members"],
        step=float(np.average(paces, weights=shares)) if timed else training / cell.steps,
    )
