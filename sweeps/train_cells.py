"""Trains a set of cells by a launcher, skipping all that the folder already holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.errors import UserError
from sweeps.config import SweepConfig
from sweeps.execute import Task
from sweeps.grid import PlannedCell
from sweeps.launchers import Launcher
from sweeps.plan import is_kept
from sweeps.progress import Reporter
from sweeps.segments import Tree
from sweeps.store import Store
from train.corpus import Corpus
from train.spec import CellSpec


def train_cells(
    planned: Sequence[PlannedCell],
    tree: Tree,
    *,
    config: SweepConfig,
    store: Store,
    corpus: Corpus,
    launcher: Launcher,
    reporter: Reporter,
    on_cell: Callable[[CellSpec], None],
) -> None:
    """Runs what is missing of the cells; `on_cell` hears of each that gets its result."""
    cells = {p.cell.cell_id: p.cell for p in planned}
    needed = _missing(tree, cells, store)
    tasks = [_task(tree, cells, s, needed, config, corpus) for s in tree.segments if s in needed]
    listener = _Listener(tree, tasks, config, store, reporter, on_cell)
    if tasks:
        launcher.run(tasks, listener)


def _missing(tree: Tree, cells: dict[str, CellSpec], store: Store) -> set[str]:
    """The segments to train: of each unfinished cell's path, all past its last usable checkpoint.

    A cell that diverged is finished: trained again it would diverge again.
    """
    needed: set[str] = set()
    for cell_id in cells:
        if store.cell_done(cell_id):
            continue
        path = tree.paths[cell_id]
        if any(store.diverged_at(s) is not None for s in path):
            continue
        usable = [i for i, s in enumerate(path[:-1]) if store.has_checkpoint(s)]
        needed.update(path[usable[-1] + 1 if usable else 0 :])
    return needed


def _task(
    tree: Tree,
    cells: dict[str, CellSpec],
    segment_id: str,
    needed: set[str],
    config: SweepConfig,
    corpus: Corpus,
) -> Task:
    segment = tree.segments[segment_id]
    path = next(path for path in tree.paths.values() if segment_id in path)
    ends_here = next((c for c, p in tree.paths.items() if p[-1] == segment_id and c in cells), None)
    followed = any(tree.segments[s].parent == segment_id for s in needed)
    return Task(
        segment=segment,
        path=path[: path.index(segment_id) + 1],
        cell=cells[ends_here] if ends_here else None,
        save=followed or is_kept(config, segment),
        corpus=str(corpus.folder),
    )


class _Listener:
    """Files failures, frees checkpoints nobody waits for, and moves the progress bar."""

    def __init__(
        self,
        tree: Tree,
        tasks: Sequence[Task],
        config: SweepConfig,
        store: Store,
        reporter: Reporter,
        on_cell: Callable[[CellSpec], None],
    ) -> None:
        self.tree, self.config, self.store = tree, config, store
        self.reporter, self.on_cell = reporter, on_cell
        self.open = {task.segment.segment_id for task in tasks}
        self.finished_flops = 0
        self.partial: dict[str, float] = {}

    def progress(self, task: Task, steps: int, loss: float) -> None:
        segment = task.segment
        self.partial[segment.segment_id] = segment.flops * steps / (segment.stop - segment.start)
        note = f"width {segment.recipe.model.width}, step {segment.start + steps}, loss {loss:.3f}"
        self.reporter.at(self.finished_flops + sum(self.partial.values()), note)

    def done(self, task: Task) -> None:
        segment = task.segment
        self.store.failure(segment.segment_id).unlink(missing_ok=True)
        self._close(segment.segment_id)
        self.finished_flops += segment.flops
        if task.cell and self.store.cell_done(task.cell.cell_id):
            self.on_cell(task.cell)
        self._free(segment.segment_id)
        if segment.parent:
            self._free(segment.parent)

    def failed(self, task: Task, reason: str) -> None:
        if "No space left" in reason:
            raise UserError(
                f"no disk space left in {self.store.path}: make room and run the same command again"
            )
        self._close(task.segment.segment_id)
        self.store.write_json(f"failures/{task.segment.segment_id}.json", {"reason": reason})
        self.reporter.warn(f"width {task.segment.recipe.model.width} failed: {reason}")

    def _close(self, segment_id: str) -> None:
        self.open.discard(segment_id)
        self.partial.pop(segment_id, None)

    def _free(self, segment_id: str) -> None:
        waiting = any(self.tree.segments[s].parent == segment_id for s in self.open)
        segment = self.tree.segments.get(segment_id)
        if segment and not waiting and not is_kept(self.config, segment):
            self.store.drop_checkpoint(segment_id)
