"""Cells as paths in a tree of segments."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.sweeps.grids.segments import Tree, build_tree
from isoflop.sweeps.queue.board import Board
from isoflop.train.spec import CellSpec, Schedule
from tests.support.small import small_recipe

RECIPES = [
    small_recipe(),
    small_recipe(schedule=Schedule("cosine", warmup_steps=5)),
    small_recipe(init_seed=1, schedule=Schedule("wsd", warmup_steps=3, decay_fraction=0.5)),
]

cells = st.lists(
    st.builds(CellSpec, recipe=st.sampled_from(RECIPES), steps=st.integers(1, 300)), min_size=1, max_size=12
)
pieces = st.integers(20, 400)


def test_three_budgets_share_their_trunk() -> None:
    lengths = [100, 200, 400]
    tree = build_tree([CellSpec(RECIPES[0], n) for n in lengths], 10_000)
    paths = [tree.paths[CellSpec(RECIPES[0], n).cell_id] for n in lengths]
    spans = [
        [(tree.segments[s].start, tree.segments[s].stop, tree.segments[s].total) for s in p] for p in paths
    ]
    assert spans == [
        [(0, 80, None), (80, 100, 100)],
        [(0, 80, None), (80, 160, None), (160, 200, 200)],
        [(0, 80, None), (80, 160, None), (160, 320, None), (320, 400, 400)],
    ]
    assert tree.flops == (320 + 20 + 40 + 80) * 128 * RECIPES[0].ledger.train_flops


def test_long_stretches_are_cut_into_pieces() -> None:
    cell = CellSpec(RECIPES[1], 250)
    tree = build_tree([cell], 100)
    assert [(s.start, s.stop) for s in tree.segments.values()] == [(0, 100), (100, 200), (200, 250)]


@given(cells, pieces)
def test_paths_are_whole_runs(cells: list[CellSpec], piece: int) -> None:
    tree = build_tree(cells, piece)
    for cell in cells:
        path = [tree.segments[s] for s in tree.paths[cell.cell_id]]
        assert path[0].start == 0
        assert path[0].parent is None
        assert path[-1].stop == cell.steps
        assert all(segment.recipe == cell.recipe for segment in path)
        assert all(0 < segment.stop - segment.start <= piece for segment in path)
        for before, after in itertools.pairwise(path):
            assert after.start == before.stop
            assert after.parent == before.segment_id


@given(cells, pieces)
def test_parents_stand_before_children(cells: list[CellSpec], piece: int) -> None:
    seen: set[str] = set()
    for name, segment in build_tree(cells, piece).segments.items():
        assert name == segment.segment_id
        assert segment.parent is None or segment.parent in seen
        seen.add(name)


@given(cells, pieces)
def test_the_bill_is_paid_in_full_by_its_cells(cells: list[CellSpec], piece: int) -> None:
    tree = build_tree(cells, piece)
    spent = tree.flops_spent()
    fresh = {cell.cell_id: cell.flops for cell in cells}
    assert sum(spent.values()) == pytest.approx(tree.flops)
    assert spent.keys() == fresh.keys()
    assert all(0 < spent[cell] <= fresh[cell] * (1 + 1e-9) for cell in spent)
    assert tree.flops <= sum(fresh.values())


@given(cells, pieces)
def test_segments_end_in_a_decay_unless_they_are_trunk(cells: list[CellSpec], piece: int) -> None:
    tree = build_tree(cells, piece)
    for cell in cells:
        path = [tree.segments[s] for s in tree.paths[cell.cell_id]]
        branch_at = cell.recipe.schedule.decay_start(cell.steps)
        assert all(s.total == (None if s.stop <= branch_at else cell.steps) for s in path)


def test_no_cells_no_tree() -> None:
    assert build_tree([], 10) == Tree()


@given(cells, pieces)
def test_the_longest_chain_is_counted_from_each_task_on(cells: list[CellSpec], piece: int) -> None:
    tree = build_tree(cells, piece)
    length = Board("all", tree, {}, "none", "").chain_flops
    for name, segment in tree.segments.items():
        children = [length[n] for n, s in tree.segments.items() if s.parent == name]
        assert length[name] == segment.flops + max(children, default=0)


def test_cells_that_differ_in_evaluation_alone_are_trained_once() -> None:
    cell = CellSpec(RECIPES[0], 100)
    tree = build_tree([cell, replace(cell, split="tune")], 10_000)
    assert len(tree.paths) == 2
    assert len(tree.segments) == 2
