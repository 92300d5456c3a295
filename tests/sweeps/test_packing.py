"""Which tasks become members of one program, and that it changes nothing but the time they take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.models.memory import _of_one_window
from isoflop.sweeps.grids.config import Rates, SweepConfig
from isoflop.sweeps.grids.segments import Tree
from isoflop.sweeps.launchers import load_launcher
from isoflop.sweeps.plan import make_plan
from isoflop.sweeps.queue.board import Board, publish
from isoflop.sweeps.queue.heartbeats import HeartbeatWriter
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.queue.task import Task
from isoflop.sweeps.workers.execute import PackContext
from isoflop.sweeps.workers.memory import members_that_fit, needed_bytes, refuse_too_large
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.sweeps.workers.worker import Worker
from isoflop.train.data.corpus import Corpus
from isoflop.train.device import Device
from isoflop.train.execution import Execution
from isoflop.train.spec import CellSpec, Recipe, Segment
from tests.support.cuda import stand_in
from tests.support.in_process import Refuse, Runner
from tests.support.small import BATCH, small_model, small_recipe
from tests.support.tables import read_rows, timeless

SOLO = Execution()


def task_of(recipe: Recipe, start: int = 0, stop: int = 10, parent: str | None = None) -> Task:
    """A stretch of a recipe, evaluated by nobody."""
    segment = Segment(recipe, start, stop, None, parent)
    return Task(segment, (segment.segment_id,), None, save=True, corpus="")


def taken(tasks: Sequence[Task], limit: int, folder: Path, refuse: Refuse = lambda task: None) -> list[int]:
    """Sizes of the packs that a worker takes, in that order; what `refuse` says of a task fails its pack."""
    names = {task.segment.segment_id: task.segment for task in tasks}
    tree = Tree(names)
    cell_of = {name: CellSpec(s.recipe, s.stop) for name, s in names.items()}
    for name, segment in names.items():
        tree.paths[cell_of[name].cell_id] = (*((segment.parent,) if segment.parent else ()), name)
    board = Board("pack", tree, {cell.cell_id: cell for cell in cell_of.values()}, "none", "")
    store, packs = Store(folder), []
    publish(board, store)

    def execute(tasks: Sequence[Task], store: Store, done: int, context: PackContext) -> None:
        packs.append(len(tasks))
        if any(map(refuse, tasks)):
            raise RuntimeError("a member is sick")
        for task in tasks:
            (store.checkpoint(task.segment.segment_id)).mkdir(parents=True)
            store.segment(task.segment.segment_id).mkdir(parents=True)
            store.cell(cell_of[task.segment.segment_id].cell_id).mkdir(parents=True)

    process = ProcessIdentity.own()
    heartbeats = HeartbeatWriter(folder / "workers", process, 5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isoflop.sweeps.workers.worker.execute", execute)
        patch.setattr("isoflop.sweeps.workers.worker.prepare", lambda tasks, store: 0)
        patch.setattr("isoflop.sweeps.workers.worker.members_that_fit", lambda *_: limit)
        worker = Worker(store, process, heartbeats, CPU, WorkerOptions(), lambda: False)
        worker.run(idle_seconds=0)
    return packs


def test_tasks_of_one_shape_and_stretch_are_taken_together(tmp_path: Path) -> None:
    seeds = [task_of(small_recipe(init_seed=seed)) for seed in range(5)]
    wider = task_of(small_recipe(model=small_model(16)))
    longer = task_of(small_recipe(), stop=11)
    waiting = task_of(small_recipe(), 10, 20, parent=seeds[0].segment.segment_id)
    tasks = [*seeds, wider, longer, waiting]
    assert sorted(taken(tasks, 4, tmp_path / "4")) == [1, 1, 1, 1, 4]
    assert sorted(taken(tasks, 8, tmp_path / "8")) == [1, 1, 1, 5]
    assert taken(tasks, 1, tmp_path / "1") == [1] * 8


GPU = Device("gpu", "NVIDIA H200", 1, 140 << 30)
CPU = Device("cpu", "cpu", 1, 12 << 30)


def test_members_are_as_many_as_fit_and_help() -> None:
    small = task_of(small_recipe())
    large = task_of(small_recipe(model=small_model(768, depth=12)))
    assert members_that_fit(small, CPU, SOLO) == 1
    assert members_that_fit(small, CPU, Execution(members=3)) == 3
    assert members_that_fit(small, GPU, SOLO) > 8
    assert members_that_fit(large, GPU, SOLO) == 1
    tight = replace(GPU, memory=int(2.5 * sum(needed_bytes(small.segment.recipe, SOLO)) / 0.85))
    assert members_that_fit(small, tight, SOLO) == 2
    assert members_that_fit(small, tight, Execution(members=4)) == 2
    assert members_that_fit(small, GPU, Execution(devices=2)) == 1
    apart = task_of(small_recipe(model=small_model(document_separator=0)))
    assert members_that_fit(apart, GPU, SOLO) == 1


def test_a_pack_that_fails_is_tried_one_by_one(tmp_path: Path) -> None:
    seeds = [task_of(small_recipe(init_seed=seed)) for seed in range(3)]

    def refuse(task: Task) -> str | None:
        return "sick" if task.segment.recipe.init_seed == 1 else None

    assert taken(seeds, 8, tmp_path, refuse) == [3, 1, 1, 1, 1]  # the sick one twice
    contents = Store(tmp_path).contents()
    assert contents.failures == {seeds[1].segment.segment_id: 2}
    assert len(contents.cells) == 2


def test_a_model_that_does_not_fit_is_refused_with_the_arithmetic(
    config: SweepConfig, corpus: Corpus
) -> None:
    recipes = [p.cell.recipe for p in make_plan(config, corpus).grid]
    state, activations = needed_bytes(recipes[-1], SOLO)
    refuse_too_large(recipes, replace(GPU, memory=int((state + activations) / 0.84)), SOLO)
    little = replace(GPU, memory=int((state + activations) / 0.86))
    message = r"width 24 doesn't fit NVIDIA H200: [\d,]+ parameters at 16 bytes .* batch of 4 windows"
    with pytest.raises(UserError, match=message):
        refuse_too_large(recipes, little, SOLO)
    refuse_too_large(recipes, little, Execution(devices=2))


def test_a_batch_must_go_round(config: SweepConfig, corpus: Corpus) -> None:
    with pytest.raises(UserError, match="batch_size 4 can't be divided among 3 devices"):
        refuse_too_large([p.cell.recipe for p in make_plan(config, corpus).grid], GPU, Execution(devices=3))


def test_recomputing_and_spreading_take_less_memory() -> None:
    recipe = small_recipe(model=small_model(64, depth=4), batch_size=8)
    state, activations = needed_bytes(recipe, SOLO)
    assert needed_bytes(recipe, Execution(remat="block"))[1] < activations
    spread = needed_bytes(recipe, Execution(devices=4))
    assert spread == (10 * state // 16, pytest.approx(activations / 4))


def test_scores_are_counted_where_the_kernel_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flash attention keeps none; the others keep them, whatever the platform and the dtype."""

    def activations(kernel: str, context: int) -> int:
        stand_in(monkeypatch, kernel)
        _of_one_window.cache_clear()
        model = small_model(64, context_length=context)
        return needed_bytes(small_recipe(model=model, dtype="bfloat16"), SOLO)[1]

    flash, xla = (activations(kernel, 256) for kernel in ("cudnn", "xla"))
    model = small_model(64)
    scores = 2 * model.depth * BATCH * model.heads * 256**2  # two bytes a weight at least
    assert xla - flash >= scores
    assert activations("cudnn", 512) == 2 * flash
    _of_one_window.cache_clear()


def test_a_device_that_is_not_there_is_missed_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="platform tpu was asked for and this machine has none"):
        load_launcher("local")(Store(tmp_path), WorkerOptions(Execution(platform="tpu")))


@pytest.mark.slow
def test_packed_and_alone_a_sweep_has_the_same_table(
    run: Runner, config: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three rates tried and three seeds, in a process that takes them in turn or one by one."""
    core = min(os.sched_getaffinity(0))  # two workers would divide a pack between them
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {core})
    rates = Rates(0.06, 0.5, tried=(0.5, 1.0, 2.0), widths=(8,), horizons=(1.5e4,), seeds=1)
    config = config.with_options(rates=rates, budgets=(2e8,), ladder=(8,), sizes=1, centre_width=8, seeds=3)
    tables = {}
    for members in (1, 4):
        out = tmp_path / str(members)
        options = WorkerOptions(Execution(members=members, profile=members == 4))
        run(config, out, open_launcher=load_launcher("local"), worker_options=options)
        tables[members] = [timeless(read_rows(out, name)) for name in ("tuning.csv", "runs.csv")]
    assert tables[1] == tables[4]
    facts = [
        Store(tmp_path / "4").read_json(f"segments/{path.name}/segment.json")
        for path in sorted((tmp_path / "4" / "segments").iterdir())
    ]
    assert {fact["members"] for fact in facts} == {3}
    assert not (tmp_path / "1" / "profiles").exists()
    assert list((tmp_path / "4" / "profiles").rglob("perfetto_trace.json.gz"))
