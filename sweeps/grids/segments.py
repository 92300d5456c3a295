"""Cells as paths in a tree of segments: cells that share a recipe share the steps they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from isoflop.train.spec import CellSpec, Recipe, Segment


@dataclass(frozen=True)
class Tree:
    """`segments` by id, parents before children; `paths`: cell id -> the ids of its segments, in order."""

    segments: dict[str, Segment] = field(default_factory=dict)
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)

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
    by_recipe: dict[Recipe, list[CellSpec]] = {}
    for cell in cells:
        by_recipe.setdefault(cell.recipe, []).append(cell)
    for recipe, group in by_recipe.items():
        _add_group(tree, recipe, sorted(group, key=lambda cell: cell.steps), piece, sorted(set(cuts(recipe))))
    return tree


def _add_group(tree: Tree, recipe: Recipe, cells: list[CellSpec], piece: int, cuts: list[int]) -> None:
    trunk: tuple[str, ...] = ()
    reached = 0
    for cell in cells:
        branch_at = recipe.schedule.decay_start(cell.steps)
        for stop in (*(cut for cut in cuts if reached < cut < branch_at), branch_at):
            trunk = _extend(tree, recipe, trunk, (reached, stop), None, piece)
            reached = stop
        tree.paths[cell.cell_id] = _extend(tree, recipe, trunk, (branch_at, cell.steps), cell.steps, piece)


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
