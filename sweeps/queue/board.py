"""What there is to do at one stage of a sweep, as one file that every worker reads.

The board names the stage's whole tree; what of it is missing, and what can be done now, follows from the
folder's contents alone, so that it is the same for everyone and after anything.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from isoflop.base.json_values import content_id, from_json, to_json
from isoflop.sweeps.grids.segments import Tree
from isoflop.sweeps.queue.store import Contents, Store
from isoflop.sweeps.queue.task import Task
from isoflop.sweeps.queue.task_board import TaskBoard
from isoflop.train.spec import CellSpec, Recipe, Segment

Keep = Literal["none", "trunks", "all"]


@dataclass(frozen=True)
class Board:
    """A stage: its tree, the cells that are wanted by `cell_id`, and which checkpoints stay. `corpus`: its
    folder; `corpora`: by source, those of cells that are trained on others; `eval_corpora`: those of the
    cells' `eval_data`, by source."""

    stage: str
    tree: Tree
    cells: dict[str, CellSpec]
    keep: Keep
    corpus: str
    eval_corpora: dict[str, str] = field(default_factory=dict)
    corpora: dict[str, str] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """The name of the board's file, by its content: coordinators of one folder write the same one."""
        return file_name(self.stage, {"cells": sorted(self.cells), "segments": sorted(self.tree.segments)})

    @cached_property
    def cell_of_last_segment(self) -> dict[str, str]:
        """Segment -> the wanted cell that it completes."""
        return {self.tree.paths[cell][-1]: cell for cell in self.cells}

    def corpus_of(self, recipe: Recipe) -> str:
        """The folder of the corpus that a recipe trains on."""
        return self.corpora.get(recipe.data.source, self.corpus)

    def path(self, name: str) -> tuple[str, ...]:
        """The ids of all segments from the start to this one."""
        path = [name]
        while parent := self.tree.segments[path[-1]].parent:
            path.append(parent)
        return tuple(reversed(path))

    @cached_property
    def chain_flops(self) -> dict[str, int]:
        """Segment -> FLOPs of the longest chain of segments from it on, itself included.

        Tasks that start long chains go first, as in critical-path list scheduling: the last to finish is then
        nearly as early as it can be.
        """
        length: dict[str, int] = {}
        after: dict[str, int] = {}
        for name, segment in reversed(self.tree.segments.items()):  # children stand after their parents
            length[name] = segment.flops + after.get(name, 0)
            if segment.parent:
                after[segment.parent] = max(after.get(segment.parent, 0), length[name])
        return length

    def missing(self, contents: Contents) -> set[str]:
        """The segments to train: what every unfinished cell still needs of its path.

        A segment is needed if its record is missing, or its checkpoint while a needed one goes on from it.
        Nothing is needed of a cell that diverged or failed: trained again it would do so again.
        """
        # Each path is walked from its end: a segment that is needed goes on from the one before (`go_on`),
        # which is needed too where its checkpoint is not there. Paths meet on trunks, which are walked once
        # for either answer, not once a cell.
        needed: set[str] = set()
        seen: set[tuple[str, bool]] = set()
        failed = contents.failed_segments
        for cell in self.cells:
            path = self.tree.paths[cell]
            if cell in contents.cells or (failed and not failed.isdisjoint(path)):
                continue
            go_on = False
            for name in reversed(path):
                if (name, go_on) in seen:  # and all before it
                    break
                seen.add((name, go_on))
                if name == path[-1] or name not in contents.segments:
                    go_on = True
                elif not go_on or name in contents.checkpoints:
                    go_on = False  # it is there, but one before it may yet be missing
                    continue
                needed.add(name)
        return needed

    def ready(self, missing: set[str], contents: Contents) -> list[str]:
        """Those that can be trained now, the start of the longest chain first."""
        parents = {name: self.tree.segments[name].parent for name in missing}
        usable = contents.checkpoints - missing
        ready = [
            name
            for name, parent in parents.items()
            # All before it, not the parent alone: of a record that was set aside the metrics are needed too.
            if parent is None or (parent in usable and missing.isdisjoint(self.path(parent)))
        ]
        return sorted(ready, key=lambda name: (-self.chain_flops[name], name))

    def task(self, name: str, missing: set[str]) -> Task:
        """A segment to train, while `missing` are."""
        segment = self.tree.segments[name]
        followed = any(child in missing for child in self.children.get(name, ()))
        cell = self.cell_of_last_segment.get(name)
        return Task(
            segment=segment,
            path=self.path(name),
            cell=self.cells[cell] if cell else None,
            save=followed or is_kept(self.keep, segment),
            corpus=self.corpus_of(segment.recipe),
            eval_corpora=self.eval_corpora,
        )

    def unneeded_checkpoints(self, missing: set[str], contents: Contents) -> list[str]:
        """The checkpoints of its segments that nothing waits for any more and that are not kept."""
        return [
            name
            for name in contents.checkpoints & self.tree.segments.keys()
            if missing.isdisjoint((name, *self.children.get(name, ())))
            and not is_kept(self.keep, self.tree.segments[name])
        ]

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """Segment -> its recipe."""
        return {name: segment.recipe for name, segment in self.tree.segments.items()}

    def to_text(self) -> str:
        """The board's file, which `read` reads.

        Raises `ValueError` if it names a cell otherwise than by its `cell_id`: the result would be filed
        under another name than the one that is waited for.
        """
        misnamed = [name for name, cell in self.cells.items() if name != cell.cell_id]
        if misnamed:
            raise ValueError(f"stage {self.stage}: {misnamed[0]} is no cell_id of the cell it names")
        # Thousands of cells and segments share some recipes: each is written once, and named by its number.
        numbers: dict[Recipe, int] = {}
        paths = self.tree.paths
        segments = [
            [name, numbers.setdefault(s.recipe, len(numbers)), s.start, s.stop, s.total, s.parent, s.flops]
            for name, s in self.tree.segments.items()
        ]
        cells = [
            [
                name,
                numbers.setdefault(c.recipe, len(numbers)),
                *(c.steps, c.split, c.eval_windows, c.eval_data),
                paths[name][-1],
            ]
            for name, c in self.cells.items()
        ]
        value = {
            "stage": self.stage,
            "corpus": self.corpus,
            "eval_corpora": self.eval_corpora,
            "corpora": self.corpora,
            "keep": self.keep,
            "recipes": [to_json(recipe) for recipe in numbers],
            "segments": segments,
            "cells": cells,
        }
        return json.dumps(value)

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """Segment -> those that go on from it."""
        children: dict[str, list[str]] = {}
        for name, segment in self.tree.segments.items():
            if segment.parent:
                children.setdefault(segment.parent, []).append(name)
        return children


def file_name(stage: str, content: Any) -> str:
    """The file of a stage's board, by what the board holds."""
    return f"{''.join(c if c.isalnum() else '-' for c in stage)}-{content_id(content)}.json"


def is_kept(keep: Keep, segment: Segment) -> bool:
    """Whether a segment's checkpoint stays when nothing waits for it any more."""
    return keep == "all" or (keep == "trunks" and segment.total is None)


def publish(board: TaskBoard, store: Store) -> None:
    """Show a board to the workers, if they don't see it."""
    if not (store.path / "board" / board.name).exists():
        store.write_text(f"board/{board.name}", board.to_text())


class PublishedBoard(NamedTuple):
    """A board as its file has it. `flops`: of each segment, which to count anew would load its architecture;
    `is_up`: whether it was not taken down."""

    board: Board
    flops: dict[str, int]
    is_up: bool


def read_value(store: Store, name: str) -> dict[str, Any] | None:
    """What is in the file of that name, of whatever board; None if it is there no more."""
    try:
        return json.loads((store.path / "board" / name).read_text())
    except (FileNotFoundError, ValueError):
        return None


def read(store: Store, name: str) -> PublishedBoard | None:
    """The board in the file of that name; None if it is there no more."""
    try:
        value: dict[str, Any] = json.loads((store.path / "board" / name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    recipes = [from_json(Recipe, recipe) for recipe in value["recipes"]]
    tree = Tree(
        {
            name: Segment(recipes[recipe], start, stop, total, parent)
            for name, recipe, start, stop, total, parent, _ in value["segments"]
        }
    )
    cells = {
        name: CellSpec(recipes[recipe], steps, split, windows, tuple(further))
        for name, recipe, steps, split, windows, further, _ in value["cells"]
    }
    folders = value["corpus"], value["eval_corpora"], value.get("corpora", {})
    board = Board(value["stage"], tree, cells, value["keep"], *folders)
    tree.paths.update({name: board.path(last) for name, *_, last in value["cells"]})
    flops = {segment: flops for segment, *_, flops in value["segments"]}
    return PublishedBoard(board, flops, is_up=not name.startswith("."))


def read_all(store: Store) -> list[PublishedBoard]:
    """Every board of the sweep so far, those that were taken down included."""
    names = sorted(file.name for file in (store.path / "board").glob("*.json"))
    return [published for name in names if (published := read(store, name))]


def take_down(store: Store, name: str) -> None:
    """The stage is over: workers see its board no more."""
    # Renamed, not removed: `isoflop status` counts its cells.
    with contextlib.suppress(FileNotFoundError):  # another did so first
        (store.path / "board" / name).replace(store.path / "board" / f".{name}")
