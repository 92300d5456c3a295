"""The stand-ins for training are held to the real thing, on the segments of a real small cell."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from isoflop.sweeps.grids.segments import build_tree
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.queue.task import Task
from isoflop.sweeps.workers import execute as module
from isoflop.sweeps.workers.execute import Interrupted, PackContext, execute, prepare
from isoflop.train import checkpoint
from isoflop.train.data.corpus import Corpus
from isoflop.train.loop import TrainingRun, evaluate
from isoflop.train.spec import CellSpec
from tests.support import pretended
from tests.support.small import small_recipe

STEPS = 100
WORLD = Path(__file__).parents[1] / "docs" / "world" / "sitecustomize.py"


def load_world() -> ModuleType:
    """The stand-in of the tests of docs, without its hook."""
    spec = importlib.util.spec_from_file_location("world", WORLD)
    assert spec is not None
    assert spec.loader is not None
    world, hooks = importlib.util.module_from_spec(spec), list(sys.meta_path)
    spec.loader.exec_module(world)
    sys.meta_path[:] = hooks
    return world


STAND_INS: dict[str, Any] = {"pretended": pretended, "docs": load_world()}


def put_in(stand_in: Any, patch: pytest.MonkeyPatch) -> None:
    """Workers of this process train by the stand-in."""
    patch.setattr(module, "TrainingRun", stand_in.PretendedRun)
    patch.setattr(module, "evaluate", stand_in.evaluate)
    patch.setattr(checkpoint, "save", stand_in.save)
    patch.setattr(checkpoint, "restore", stand_in.restore)


def tasks_of(corpus: Corpus) -> list[Task]:
    """A trunk, whose checkpoint is saved, and the branch that ends in the cell."""
    cell = CellSpec(small_recipe(corpus), STEPS, eval_windows=8)
    tree = build_tree([cell], 10**6)
    board = Board("all", tree, {cell.cell_id: cell}, "all", str(corpus.folder))
    tasks = [board.task(name, set(tree.segments)) for name in tree.segments]
    assert [(task.save, task.cell) for task in tasks] == [(True, None), (True, cell)]
    return tasks


def outcome(tasks: Sequence[Task], store: Store) -> tuple[dict[str, Any], list[list[tuple[int, Any, Any]]]]:
    """What the folder holds of the tasks once they are trained, by file and part; and, of each, the calls to
    `on_progress`: steps done, shape and type of the losses."""
    progress: list[list[tuple[int, Any, Any]]] = []
    for task in tasks:
        calls: list[tuple[int, Any, Any]] = []
        context = PackContext(
            on_progress=lambda n, losses, calls=calls: calls.append((n, losses.shape, losses.dtype))
        )
        execute([task], store, prepare([task], store), context)
        progress.append(calls)
    return contents(store), progress


def contents(store: Store) -> dict[str, Any]:
    """Shape and type of the folder's arrays, keys of its JSON; of a state only that it is there."""
    found: dict[str, Any] = {}
    for path in sorted(store.path.rglob("*")):
        name = str(path.relative_to(store.path))
        if "/state" in name or path.name == "checksums.json":
            found[name.partition("/state")[0]] = None
        elif path.suffix == ".npz":
            found |= {f"{name}:{key}": (x.shape, x.dtype) for key, x in np.load(path).items()}
        elif path.suffix == ".npy":
            array = np.load(path)
            found[name] = array.shape, array.dtype
        elif path.suffix in (".json", ".jsonl"):
            lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
            found |= {f"{name}:{key}": len(lines) for key in json.loads(lines[0])}
    return found


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_is_called_as_the_real_one(name: str) -> None:
    stand_in = STAND_INS[name]
    pairs = [
        (stand_in.PretendedRun, TrainingRun),
        (stand_in.evaluate, evaluate),
        (stand_in.save, checkpoint.save),
        (stand_in.restore, checkpoint.restore),
    ]
    for pretender, real in pairs:
        signatures = [inspect.signature(each).parameters.values() for each in (pretender, real)]
        theirs, ours = ([(p.name, p.kind) for p in parameters] for parameters in signatures)
        assert theirs == ours, real


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_leaves_what_training_leaves(
    name: str, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tasks_of(corpus)
    real, real_progress = outcome(tasks, Store(tmp_path / "real"))
    put_in(STAND_INS[name], monkeypatch)
    pretend, progress = outcome(tasks, Store(tmp_path / "pretend"))
    assert pretend.items() <= real.items()  # the real run has further metrics
    assert {key.partition(":")[0] for key in pretend} == {key.partition(":")[0] for key in real}
    for task, theirs, ours in zip(tasks, progress, real_progress, strict=True):
        length = task.segment.stop - task.segment.start
        assert theirs[-1] == ours[-1] == (length, (1,), np.float32)
        assert [n for n, _, _ in theirs] == sorted({n for n, _, _ in theirs})


@pytest.mark.parametrize("pretends", [False, True])
def test_either_is_saved_half_way_and_goes_on(
    pretends: bool, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tasks_of(corpus)
    if pretends:
        put_in(pretended, monkeypatch)
    whole, _ = outcome(tasks, Store(tmp_path / "whole"))
    store, name = Store(tmp_path / "stopped"), tasks[0].segment.segment_id
    with pytest.raises(Interrupted):
        execute(tasks[:1], store, 0, PackContext(should_leave=lambda: True))
    (steps,) = store.contents().partial.values()
    assert 0 < steps < tasks[0].segment.stop
    saved = {key for key in contents(store) if key.startswith("partial")}
    folder = f"partial/{name}~{steps}"
    facts = {f"{folder}/part.json:seconds", f"{folder}/part.json:startup_seconds"}
    assert saved >= {folder, f"{folder}/metrics.npz:loss", *facts}
    assert prepare(tasks[:1], store) == steps
    assert outcome(tasks, store)[0] == whole | {key: v for key, v in contents(store).items() if "live" in key}
