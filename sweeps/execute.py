"""One unit of work, wherever it runs: train a segment and, where it completes a cell, evaluate the cell."""

from __future__ import annotations

import json
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
from train.loop import Progress, Trained, evaluate, run_segment
from train.result import curve, measured
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


def execute(task: Task, store: Store, progress: Progress) -> None:
    """Does the task and files its results; each folder appears whole or not at all.

    A segment whose training or evaluation loss stops being finite is filed as diverged, without a checkpoint.
    """
    segment = task.segment
    corpus = load(Path(task.corpus), segment.recipe.data)
    parent = store.segment(segment.parent) / "checkpoint" if segment.parent else None
    trained = run_segment(segment, corpus, parent, progress)
    windows = evaluate(task.cell, trained.state, corpus) if task.cell and not trained.diverged else None
    diverged = trained.diverged or (windows is not None and not np.isfinite(windows).all())
    if task.cell and windows is not None and not diverged:
        _file_cell(task, task.cell, store, corpus, trained, windows)
    if task.save and not store.has_checkpoint(segment.segment_id):
        store.drop_segment(segment.segment_id)  # trained before, but its checkpoint was freed since
    with new_folder(store.segment(segment.segment_id)) as folder:
        if task.save and not diverged:
            checkpoint.save(trained.state, folder / "checkpoint")
        np.save(folder / "train_loss.npy", trained.losses)
        facts = {
            "segment": to_json(segment),
            "diverged_at": segment.start + len(trained.losses) if diverged else None,
            "flops": segment.flops,
            "seconds": trained.seconds,
            "step_seconds": trained.step_seconds,
            "device": device_name(),
        }
        (folder / "segment.json").write_text(json.dumps(facts, indent=1))


def task_json(task: Task) -> dict[str, Any]:
    """The task as plain JSON values."""
    return to_json(task)


def task_from_json(value: Any) -> Task:
    """The task back from them."""
    return from_json(Task, value)


def _file_cell(
    task: Task, cell: CellSpec, store: Store, corpus: Corpus, trained: Trained, windows: NDArray[np.float32]
) -> None:
    before = [store.segment(s) for s in task.path[:-1]]
    losses = np.concatenate([*(np.load(f / "train_loss.npy") for f in before), trained.losses])
    seconds = trained.seconds + sum(json.loads((f / "segment.json").read_text())["seconds"] for f in before)
    result = measured(
        cell, corpus, windows=windows, train_losses=losses, seconds=seconds, device=device_name()
    )
    with new_folder(store.cell(cell.cell_id)) as folder:
        np.save(folder / "windows.npy", windows)
        points = curve(cell, losses, _rates(cell))
        (folder / "curve.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
        (folder / "cell.json").write_text(
            json.dumps({"cell": to_json(cell), "result": to_json(result)}, indent=1)
        )


def _rates(cell: CellSpec) -> NDArray[np.float32]:
    recipe = cell.recipe
    return learning_rates(recipe.schedule, recipe.optimizer.peak_lr, 0, cell.steps, cell.steps)
