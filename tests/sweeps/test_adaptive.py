"""The adaptive policy: its cells, its price, its stop, and that it is a function of the rows alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.grid_cost.arms import ARMS, extras, simulate, true_value
from benchmarks.grid_cost.world import CORPUS, SimulatedRuns, World, worlds
from isoflop.analysis import table_of
from isoflop.analysis.design.next_runs import Narrow, Proposal, next_runs
from isoflop.analysis.design.targets import Target
from isoflop.base.errors import UserError
from isoflop.sweeps.grids.adaptive import Adaptive, Decision, first_cells, next_cells
from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.grids.ladder import build_ladder, trunk_cuts
from isoflop.sweeps.grids.segments import build_tree
from isoflop.train.data.corpus import Corpus
from tests.support.examples import examples
from tests.support.small import small_sweep

WORLD = worlds()["demo"]
CONFIG, RATES = WORLD.config, WORLD.config.rates
LOOSE = Adaptive(half_width=0.05)


def grown(
    options: Adaptive, rounds: int = 30, spoil: Any = None, world: World = WORLD, seed: int = 0
) -> tuple[list[PlannedCell], list[dict[str, Any]], Decision]:
    """All cells, their rows and the last decision; `spoil` may change a row."""
    runs = SimulatedRuns(world, seed)
    cells, rows = [], []
    chosen: Sequence[PlannedCell] = first_cells(world.config, CORPUS, RATES)
    for _ in range(rounds):
        cells += chosen
        new = runs.rows(chosen)
        rows += [spoil(row) for row in new] if spoil else new
        found = next_cells(world.config, CORPUS, RATES, rows, options)
        if found.done:
            return cells, rows, found
        chosen = found.cells
    raise AssertionError(f"no stop within {rounds} rounds")


@pytest.fixture(scope="module")
def loose() -> tuple[list[PlannedCell], list[dict[str, Any]], Decision]:
    return grown(LOOSE)


def failed(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"status": "failed", "loss": None}


def test_it_begins_with_the_cheap_half_of_the_budgets() -> None:
    cells = first_cells(CONFIG, CORPUS, RATES)
    assert {p.budget for p in cells} == set(CONFIG.budgets[:3])
    assert len(cells) == 3 * CONFIG.sizes
    assert {p.role for p in cells} == {"grid"}


def test_it_stops_at_the_width_wanted_near_the_truth(loose: Any) -> None:
    _, _, found = loose
    assert found.half_width <= 0.05
    assert found.cells == ()
    assert abs(found.estimate - true_value(WORLD, Target("a"))) < 2 * found.half_width
    assert found.interval[0] < found.estimate < found.interval[1]


def test_the_same_rows_give_the_same_cells(loose: Any) -> None:
    """Whatever happened in between: a sweep that was killed goes on as if it hadn't been."""
    cells, rows, _ = loose
    for count in (15, 20):
        again = [next_cells(CONFIG, CORPUS, RATES, rows[:count], LOOSE) for _ in range(2)]
        assert again[0] == again[1]
        assert [p.cell.cell_id for p in again[0].cells] == [
            p.cell.cell_id for p in cells[count : count + len(again[0].cells)]
        ]


def test_no_cell_is_chosen_twice_and_minima_lie_inside(loose: Any) -> None:
    cells, rows, _ = loose
    assert len({p.cell.cell_id for p in cells}) == len(cells)
    for budget in (CONFIG.budgets[0], CONFIG.budgets[2], CONFIG.budgets[-1]):
        own = [row for row in rows if row["budget"] == budget]
        sizes = sorted({row["d_model"] for row in own})
        mean = [np.mean([row["loss"] for row in own if row["d_model"] == w]) for w in sizes]
        assert len(sizes) >= 5
        assert 0 < int(np.argmin(mean)) < len(sizes) - 1


def test_its_price_is_the_trees(loose: Any) -> None:
    """Trunks once, to where the last branch leaves, as the segments will be trained."""
    cells, _, found = loose
    tree = build_tree((p.cell for p in cells), CONFIG.checkpoint_steps, trunk_cuts(CONFIG))
    assert found.flops == pytest.approx(tree.flops, rel=1e-9)


def test_further_cells_leave_trained_segments_as_they_are() -> None:
    """With the cuts, smaller budgets branch off trunks that were trained for larger ones."""
    ladder = build_ladder(CONFIG, CORPUS, RATES)
    family = int(np.argmax(ladder.space.possible_FxB.sum(axis=1)))
    low_budget, *_, top_budget = np.flatnonzero(ladder.space.possible_FxB[family])
    top, low = (ladder.cell(family, int(b), 0).cell for b in (top_budget, low_budget))
    first = build_tree([top], 20_000, trunk_cuts(CONFIG))
    both = build_tree([top, low], 20_000, trunk_cuts(CONFIG))
    assert set(first.segments) < set(both.segments)
    assert both.flops - first.flops == pytest.approx(0.2 * low.flops, rel=0.01)


def test_it_stops_before_the_flops_are_spent() -> None:
    cells, _, found = grown(Adaptive(max_flops=8e12))
    assert found.half_width is not None
    assert found.half_width > 0.02
    assert "spent" in found.why
    assert sum(s.flops for s in build_tree((p.cell for p in cells), 20_000).segments.values()) <= 8e12


def test_other_flops_count_against_the_limit(loose: Any) -> None:
    _, rows, _ = loose
    options = Adaptive(max_flops=4e13)
    assert next_cells(CONFIG, CORPUS, RATES, rows, options).cells
    assert not next_cells(CONFIG, CORPUS, RATES, rows, options, other_flops=4e13).cells


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_a_width_that_never_finishes_does_not_stall_it(status: str) -> None:
    def spoil(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"status": status, "loss": None} if row["d_model"] == 32 else row

    _, rows, found = grown(LOOSE, spoil=spoil)
    assert found.half_width is not None
    assert found.half_width <= 0.05
    tried = [(row["d_model"], row["budget"]) for row in rows if row["status"] == status]
    assert len(tried) == len(set(tried))  # no second seed where none has finished


def test_where_nothing_finishes_it_says_so() -> None:
    _, rows, found = grown(LOOSE, spoil=failed)
    assert found.done
    assert "too few cells finished" in found.why
    assert found.half_width is None
    assert len(rows) <= 48


@settings(max_examples=examples(10))
@given(lost=st.sets(st.integers(0, 19), max_size=12), seed=st.integers(0, 5))
def test_any_rows_may_be_lost(loose: Any, lost: set[int], seed: int) -> None:
    """Some cells, new and possible, or a stop with a reason; never an error."""
    cells, rows, _ = loose
    holed = [failed(row) if k in lost else row for k, row in enumerate(rows[:20])]
    found = next_cells(CONFIG, CORPUS, RATES, holed, LOOSE)
    assert found.why
    assert found.done == (not found.cells)
    assert not {p.cell.cell_id for p in found.cells} & {p.cell.cell_id for p in cells[:20]}


def test_fresh_runs_share_nothing(corpus: Corpus, source_name: str) -> None:
    config = CONFIG.with_options(schedule="cosine")
    space = build_ladder(config, CORPUS, RATES).space
    assert (space.trunk_FxB == 0).all()
    assert (space.possible_FxB.sum(axis=1) == 1).all()
    small = small_sweep(source_name)
    cells = build_ladder(small, corpus, small.rates).cells
    assert all(p.cell.tokens <= corpus.n_tokens("train") for p in cells.values())


def test_two_budgets_are_too_few(corpus: Corpus, source_name: str) -> None:
    small = small_sweep(source_name)
    with pytest.raises(UserError, match="2 budgets and 3 sizes: an adaptive sweep needs three"):
        first_cells(small, corpus, small.rates)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"target": "c"}, "target 'c'"),
        ({"half_width": 0.0}, "half_width 0.0"),
        ({"batch": 2.0}, "batch 2.0"),
        ({"max_flops": math.inf}, "max_flops inf"),
        ({"level": 1.0}, "level 1.0"),
        ({"law": "muennighoff"}, "law muennighoff needs more"),
    ],
)
def test_wrong_options_are_one_line(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Adaptive(**wrong)


@pytest.mark.parametrize("finished", [15, 20, 30])
def test_its_cells_are_the_next_runs_of_its_table(loose: Any, finished: int) -> None:
    """The same runs, target, level and FLOPs, of the cells that the ladder allows: the same answer."""
    _, rows, _ = loose
    ladder = build_ladder(CONFIG, CORPUS, RATES)
    decision = next_cells(CONFIG, CORPUS, RATES, rows[:finished], LOOSE)
    trunks = [f"{ladder.place[r['d_model'], r['budget']][0]}-{r['init_seed']}" for r in rows[:finished]]
    frame = pd.DataFrame(rows[:finished]).assign(trunk_id=trunks)
    frame = frame.rename(columns={"n_params_non_embedding": "n_params"})
    goal = Narrow("a", 0.05, math.inf, LOOSE.batch * decision.flops, "trunk effects", LOOSE.level_at_a_look)
    found = next_runs(table_of(frame), goal, space=ladder.space)
    assert isinstance(found, Proposal)
    assert found.estimate == pytest.approx(decision.estimate, rel=1e-6)
    assert found.half_width == pytest.approx(decision.half_width, rel=1e-6)
    assert found.flops == pytest.approx(decision.next_flops)
    assert Counter(
        (run.n_params, budget) for run in found.runs for budget in run.budgets for _ in range(run.seeds)
    ) == Counter((p.cell.recipe.ledger.params(), p.budget) for p in decision.cells)


@pytest.mark.slow
def test_it_costs_less_than_half_of_the_classical_grid() -> None:
    """A few simulated sweeps each; the benchmark has hundreds."""
    stops = {arm: [simulate(WORLD, arm, "a", 0.03, seed) for seed in range(2)] for arm in ARMS}
    mean = {arm: np.mean([s.flops for s in found]) for arm, found in stops.items()}
    assert mean["shared, adaptive"] < 0.6 * mean["classical"]
    assert all(s.half_width <= 0.03 for found in stops.values() for s in found)
    assert extras(replace(WORLD, config=CONFIG.with_options(schedule="cosine"))) < extras(WORLD)
