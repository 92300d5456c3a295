"""One unit of work, wherever it runs: train segments together and evaluate the cells they complete."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.store import Store
from train import checkpoint
from train.cache import new_folder
from train.corpus import Corpus, load
from train.device import device_name
from train.execution import Execution
from train.loop import Progress, Trained, evaluate, run_segments
from train.result import Clock, curve, measured
from train.schedules import learning_rates
from train.spec import CellSpec, Segment, from_json, to_json


@dataclass(frozen=True)
class Task:
    """A segment to train, and what to do at its end.

    `path`: ids of all segments from the start to this one. `cell`: evaluated at the end, if any.
    `save`: whether to write a checkpoint. `corpus`: the prepared corpus' folder.
    """

    segment: Segment
    path: tuple[str, ...]
    cell: CellSpec | None
    save: bool
    corpus: str


def execute(
    tasks: Sequence[Task],
    store: Store,
    progress: Progress = lambda steps, losses: None,
    how: Execution = Execution(),
) -> None:
    """Does tasks of one pack and files their results; each folder appears whole or not at all.

    A segment whose training or evaluation loss stops being finite is filed as diverged, without a checkpoint.
    """
    segments = [task.segment for task in tasks]
    corpus = load(Path(tasks[0].corpus), segments[0].recipe.data)
    parents = [store.segment(s.parent) / "checkpoint" if s.parent else None for s in segments]
    profile = store.profile(segments[0].recipe.model.width) if how.profile else None
    trained = run_segments(segments, corpus, parents, progress, how, profile)
    for task, outcome in zip(tasks, trained, strict=True):
        _file(task, store, corpus, outcome, how)


def task_json(task: Task) -> dict[str, Any]:
    """The task as plain JSON values."""
    return to_json(task)


def task_from_json(value: Any) -> Task:
    """The task back from them."""
    return from_json(Task, value)


def _file(task: Task, store: Store, corpus: Corpus, trained: Trained, how: Execution) -> None:
    segment = task.segment
    windows = None
    if task.cell and not trained.diverged:
        windows = evaluate(task.cell, trained.state, corpus, how)
    diverged = trained.diverged or (windows is not None and not np.isfinite(windows).all())
    if task.cell and windows is not None and not diverged:
        _file_cell(task, task.cell, store, corpus, trained, windows, how)
    if task.save and not store.has_checkpoint(segment.segment_id):
        store.drop_segment(segment.segment_id)  # trained before, but its checkpoint was freed since
    with new_folder(store.segment(segment.segment_id)) as folder:
        if task.save and not diverged:
            checkpoint.save(trained.state, folder / "checkpoint")
        np.savez(folder / "metrics.npz", **trained.metrics)  # pyright: ignore[reportArgumentType]  # arrays by name
        facts = {
            "segment": to_json(segment),
            "diverged_at": segment.start + len(trained.losses) if diverged else None,
            "flops": segment.flops,
            "seconds": trained.seconds,
            "startup_seconds": trained.startup_seconds,
            "step_seconds": trained.step_seconds,
            "members": trained.members,
            "device": device_name(),
        }
        (folder / "segment.json").write_text(json.dumps(facts, indent=1))


def _file_cell(
    task: Task,
    cell: CellSpec,
    store: Store,
    corpus: Corpus,
    trained: Trained,
    windows: NDArray[np.float32],
    how: Execution,
) -> None:
    before = [store.segment(s) for s in task.path[:-1]]
    parts = [*(np.load(f / "metrics.npz") for f in before), trained.metrics]
    metrics = {name: np.concatenate([part[name] for part in parts]) for name in trained.metrics}
    own = {"flops": task.segment.flops} | vars(trained)
    clock = _clock(cell, [*(json.loads((f / "segment.json").read_text()) for f in before), own])
    result = measured(
        cell,
        corpus,
        windows=windows,
        metrics=metrics,
        clock=clock,
        device=device_name(),
        devices=how.devices,
    )
    with new_folder(store.cell(cell.cell_id)) as folder:
        np.save(folder / "windows.npy", windows)
        points = curve(cell, metrics, _rates(cell))
        (folder / "curve.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
        (folder / "cell.json").write_text(
            json.dumps({"cell": to_json(cell), "result": to_json(result)}, indent=1)
        )


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


def _rates(cell: CellSpec) -> NDArray[np.float32]:
    recipe = cell.recipe
    return learning_rates(recipe.schedule, recipe.optimizer.peak_lr, 0, cell.steps, cell.steps)
