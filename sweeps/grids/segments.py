"""Cells as paths in a tree of segments: cells that share a recipe share the steps they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from isoflop.train.spec import CellSpec, Recipe, Segment


@dataclass(frozen=True)
class Tree:
    """`segments` by id, parents before children; `paths`: cell id -> the ids of its segments, in order;
    `trunks`: cell id -> the recipe of the trunk that it branches off."""

    segments: dict[str, Segment] = field(default_factory=dict)
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    trunks: dict[str, Recipe] = field(default_factory=dict)

    def users(self) -> dict[str, list[str]]:
        """Segment id -> the cells whose path it is on."""
        users: dict[str, list[str]] = {segment: [] for segment in self.segments}
        for cell, path in self.paths.items():
            for segment in path:
                users[segment].append(cell)
        return users

    @property
    def flops(self) -> int:
        """What all segments cost together; each is trained once."""
        return sum(segment.flops for segment in self.segments.values())

    def flops_spent(self) -> dict[str, float]:
        """Cell id -> its share of that: each segment's cost divided evenly among the cells that use it."""
        users = self.users()
        up_to: dict[str, float] = {}
        for name, segment in self.segments.items():  # parents first
            before = up_to[segment.parent] if segment.parent else 0.0
            up_to[name] = before + segment.flops / max(len(users[name]), 1)
        return {cell: up_to[path[-1]] for cell, path in self.paths.items()}


Cuts = Callable[[Recipe], Iterable[int]]
"""Steps at which a recipe's trunk is cut, whichever cells there are: where others may branch off later."""


def uncut(recipe: Recipe) -> tuple[int, ...]:
    """None but where a cell branches off."""
    return ()


def build_tree(cells: Iterable[CellSpec], piece: int, cuts: Cuts = uncut) -> Tree:
    """The tree of `cells`, no segment longer than `piece` steps.

    A segment's name depends on those before it. With `cuts` at every step where a cell may ever branch off,
    further cells leave the trunks that are there as they are.
    """
    tree = Tree()
    by_trunk: dict[Recipe, list[CellSpec]] = {}
    for cell in cells:
        by_trunk.setdefault(_trunk_key(cell.recipe), []).append(cell)
    for group in by_trunk.values():
        _add_group(tree, group, piece, cuts)
    return tree


@lru_cache(maxsize=1 << 14)
def _trunk_key(recipe: Recipe) -> Recipe:
    """The recipe without what comes after the trunk: cells that agree in the rest share one."""
    return replace(recipe, schedule=replace(recipe.schedule, decay_fraction=0.5, final_fraction=0.0))


def _add_group(tree: Tree, cells: list[CellSpec], piece: int, cuts: Cuts) -> None:
    """The segments of cells that share a trunk, which has the recipe of the first of them."""
    recipe = cells[0].recipe
    cut_at = sorted(set(cuts(recipe)))
    trunk: tuple[str, ...] = ()
    reached = 0
    branching = [(cell.recipe.schedule.decay_start(cell.steps), cell.steps, cell) for cell in cells]
    for branch_at, steps, cell in sorted(branching, key=lambda branch: branch[:2]):
        for stop in (*(cut for cut in cut_at if reached < cut < branch_at), branch_at):
            trunk = _extend(tree, recipe, trunk, (reached, stop), None, piece)
            reached = stop
        tree.paths[cell.cell_id] = _extend(tree, cell.recipe, trunk, (branch_at, steps), steps, piece)
        tree.trunks[cell.cell_id] = recipe


def _extend(
    tree: Tree, recipe: Recipe, path: tuple[str, ...], steps: tuple[int, int], total: int | None, piece: int
) -> tuple[str, ...]:
    start, stop = steps
    while start < stop:
        end = min(start + piece, stop)
        segment = Segment(recipe, start, end, total, path[-1] if path else None)
        tree.segments[segment.segment_id] = segment
        path, start = (*path, segment.segment_id), end
    return path
