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
from isoflop.sweeps.queue.live_metrics import LiveLog, cell_rates, remove
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.queue.task import Task
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.sweeps.workers.process_group import ALONE, ProcessGroup
from isoflop.train import checkpoint
from isoflop.train.data.corpus import Corpus, load
from isoflop.train.device import device_name
from isoflop.train.execution import Execution
from isoflop.train.loop import Start, Trained, TrainingRun, evaluate
from isoflop.train.result import Clock, curve, measured
from isoflop.train.spec import CellSpec, DataSpec, Segment
from isoflop.train.step import TrainState

Progress = Callable[[int, NDArray[np.float32]], None]
"""Takes the steps done of the segments, and the latest training loss of each (M,)."""


class Interrupted(Exception):  # noqa: N818  # asked for, no error
    """Training stopped half-way, as it was told to; what it had is saved."""


@dataclass(frozen=True)
class Worked:
    """How a worker goes about a pack. `leave`: whether it should stop at the next chance; `held`: whether the
    task of that number is still its own to file. `group`: the processes that do so together; those that
    follow are asked neither."""

    progress: Progress = lambda steps, losses: None
    leave: Callable[[], bool] = lambda: False
    held: Callable[[int], bool] = lambda number: True
    options: WorkerOptions = WorkerOptions()
    group: ProcessGroup = ALONE


def prepare(tasks: Sequence[Task], store: Store) -> int:
    """Steps that were done of the tasks before, all alike, or 0.

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


def execute(tasks: Sequence[Task], store: Store, done: int, worked: Worked = Worked()) -> None:
    """Does tasks of one pack, of which `prepare` found so many steps done, and files their results; each
    record appears whole or not at all.

    A segment whose training or evaluation loss stops being finite is filed as diverged, without a checkpoint.
    Raises `Interrupted` once asked to leave, when what there is has been saved.
    """
    corpus = _corpus(tasks[0].corpus, tasks[0].segment.recipe.data)
    for number, (task, trained) in enumerate(
        zip(tasks, _train(tasks, store, corpus, done, worked), strict=True)
    ):
        _file(task, store, corpus, trained, worked, number)


def _train(tasks: Sequence[Task], store: Store, corpus: Corpus, done: int, worked: Worked) -> list[Trained]:
    """Train to the end; save every `checkpoint_minutes`, and before leaving."""
    segments, execution = [task.segment for task in tasks], worked.options.execution
    run = TrainingRun(
        segments,
        corpus,
        [_start(segment, store, done, execution) for segment in segments],
        execution,
        profile=store.profile(segments[0].recipe.model.width) if execution.profile else None,
        agree=worked.group.tell,
    )
    names = [segment.segment_id for segment in segments] if worked.group.leads else []
    saved = time.monotonic()
    with contextlib.closing(LiveLog(store, names)) as live:
        for metrics in run:
            if metrics:
                live.append(metrics)
                worked.progress(run.steps, metrics["loss"][:, -1])
            if run.done:
                continue
            due = time.monotonic() - saved > 60 * worked.options.checkpoint_minutes
            wanted = worked.group.tell("leave" if worked.leave() else "save" if due else "nothing")
            if wanted == "nothing":
                continue
            parts = run.trained()
            if all(part.diverged for part in parts):
                continue  # the run ends by itself
            _save_parts(tasks, parts, store, worked)
            saved = time.monotonic()
            if wanted == "leave":
                raise Interrupted
    return run.trained()


@lru_cache(maxsize=2)
def _corpus(folder: str, data: DataSpec) -> Corpus:
    return load(Path(folder), data)


def _start(segment: Segment, store: Store, done: int, execution: Execution) -> Start:
    if not done:
        return store.checkpoint(segment.parent) / "state" if segment.parent else None
    folder = store.partial(segment.segment_id, done)
    facts = json.loads((folder / "part.json").read_text())
    return Trained(
        state=checkpoint.restore(segment.recipe, folder / "state", execution),
        metrics=dict(np.load(folder / "metrics.npz")),
        seconds=facts["seconds"],
        startup_seconds=facts["startup_seconds"],
    )


def _save_parts(tasks: Sequence[Task], parts: Sequence[Trained], store: Store, worked: Worked) -> None:
    for number, (task, part) in enumerate(zip(tasks, parts, strict=True)):
        name = task.segment.segment_id
        if not part.diverged and _is_held(worked, number):
            _save(part.state, store.partial(name, part.steps), worked.group, partial(_describe_part, part))
            store.drop_partials(name, below=part.steps)


def _is_held(worked: Worked, number: int) -> bool:
    return worked.group.tell(worked.held(number) if worked.group.leads else None)


def _save(
    state: TrainState, target: Path, group: ProcessGroup, fill: Callable[[Path], None] = lambda folder: None
) -> None:
    """Files a state, of which each process of the group may hold a part, and what `fill` adds to it."""
    if not group.leads:
        checkpoint.save(state, target)  # its part goes to the first process, which writes
        return
    with new_folder(target) as folder:
        checkpoint.save(state, folder / "state")
        fill(folder)


def _describe_part(part: Trained, folder: Path) -> None:
    _save_metrics(part.metrics, folder)
    facts = {"seconds": part.seconds, "startup_seconds": part.startup_seconds}
    (folder / "part.json").write_text(json.dumps(facts))


def _file(task: Task, store: Store, corpus: Corpus, trained: Trained, worked: Worked, number: int) -> None:
    name = task.segment.segment_id
    windows = None
    if task.cell and not trained.diverged:
        windows = evaluate(task.cell, trained.state, corpus, worked.options.execution)
    diverged = trained.diverged or (windows is not None and not np.isfinite(windows).all())
    if not _is_held(worked, number):
        return  # another has taken over
    if task.save and not diverged:
        _save(trained.state, store.checkpoint(name), worked.group)
    if not worked.group.leads:
        return
    if task.cell and windows is not None and not diverged:
        _file_cell(task, task.cell, store, corpus, trained, windows, worked.options.execution)
    _file_segment(task.segment, store.diverged(name) if diverged else store.segment(name), trained, diverged)
    store.drop_partials(name)
    remove(store, name)


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
    windows: NDArray[np.float32],
    execution: Execution,
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
        windows=windows,
        metrics=metrics,
        clock=clock,
        device=device_name(),
        devices=execution.devices,
        trained_by=[*(Provenance(**f["provenance"]) for f in facts if "provenance" in f), origin],
    )
    with new_folder(store.cell(cell.cell_id)) as folder:
        np.save(folder / "windows.npy", windows)
        points = curve(cell, metrics, cell_rates(cell))
        (folder / "curve.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
        record = {"cell": to_json(cell), "result": to_json(result), "provenance": origin.to_json()}
        (folder / "cell.json").write_text(json.dumps(record, indent=1))


def _clock(cell: CellSpec, parts: Sequence[dict[str, Any]]) -> Clock:
    """Of the segments on a cell's path; a step's time is that of those long enough to tell it."""
    training = sum(part["seconds"] for part in parts)
    timed = [part for part in parts if part["step_seconds"] is not None]
    shares = np.array([part["flops"] for part in timed], dtype=float)
    paces = [part["step_seconds"] for part in timed]
    return Clock(
        training=training,
        first_step=parts[0]["startup_seconds"] * parts[0]["members"],
        step=float(np.average(paces, weights=shares)) if timed else training / cell.steps,
    )
