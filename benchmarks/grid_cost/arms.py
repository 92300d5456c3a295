"""Four ways to the same interval, each simulated from its first cell to its stop, under one kind of
interval."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.grid_cost.world import CORPUS, SimulatedRuns, World
from isoflop.analysis.design.estimate import FinishedRuns, estimate
from isoflop.analysis.design.targets import Target, parse_target
from isoflop.analysis.laws import find_law
from isoflop.sweeps.grids.adaptive import Adaptive, first_cells, next_cells
from isoflop.sweeps.grids.cells import PlannedCell, check_cells, grid_cells, tuning_cells
from isoflop.sweeps.grids.ladder import Ladder, build_ladder
from isoflop.sweeps.grids.segments import build_tree

GRID_LOOKS = 0.6
"""Share of the error allowed at each look of the whole grids: enough for them, where
`isoflop.sweeps.grids.adaptive.LOOKS` is stricter."""
ARMS = ("classical", "shared trunks", "fresh, adaptive", "shared, adaptive")
"""The peer: whole grids of fresh cosine runs, one seed after the other; then one change at a time, and
both."""


@dataclass(frozen=True)
class Stop:
    """Where one simulated sweep stopped. FLOPs with tuning and checks; `miss`: estimate less truth (of N_opt
    the log); `half_width` as `Target.width` has it."""

    flops: float
    half_width: float
    held: bool
    miss: float
    noticed: bool
    """The law was doubted at the 1% level."""
    rounds: int
    cells: int


def simulate(world: World, arm: str, target: str, half_width: float, seed: int) -> Stop:
    """One sweep of an arm in a world, until its interval is as narrow as asked."""
    fresh = arm in ("classical", "fresh, adaptive")
    config = world.config.with_options(schedule="cosine" if fresh else "wsd")
    world = replace(world, config=config)
    grow = _adaptive if arm in ("fresh, adaptive", "shared, adaptive") else _whole_grids
    return grow(world, Adaptive(target, half_width), seed)


def _adaptive(world: World, options: Adaptive, seed: int) -> Stop:
    runs, config = SimulatedRuns(world, seed), world.config
    rates = runs.tuned().rates
    cells, rows, rounds = first_cells(config, CORPUS, rates), [], 0
    while True:
        rows += runs.rows(cells)
        rounds += 1
        found = next_cells(config, CORPUS, rates, rows, options)
        if found.done:
            break
        cells = found.cells
    if found.estimate is None or found.interval is None or found.half_width is None:
        raise RuntimeError(f"{world.name}: stopped without an interval: {found.why}")
    ended = (found.flops, found.estimate, found.interval, found.half_width, bool(found.warnings))
    return _stop(world, options, *ended, rounds, len(rows))


def _whole_grids(world: World, options: Adaptive, seed: int) -> Stop:
    simulated, config = SimulatedRuns(world, seed), world.config
    rates = simulated.tuned().rates
    target, law = parse_target(options.target), find_law(options.law)
    ladder = _ladder(world)
    ends = np.array([config.budgets[0], config.budgets[-1]])
    cells: list[PlannedCell] = []
    rows = []
    rounds = 0
    while True:
        once = grid_cells(config.with_options(seed=config.seed + rounds, seeds=1), CORPUS, rates)
        rounds += 1
        cells += once
        rows += simulated.rows(once)
        N_R, D_R, loss_R = _columns(rows)
        runs = FinishedRuns(N_R, D_R, loss_R, _trunks(cells))
        found = estimate(runs, law, target, ladder.space.cost, ends, 1 - GRID_LOOKS * (1 - options.level))
        if found.half_width <= options.half_width:
            flops = float(build_tree((p.cell for p in cells), config.checkpoint_steps).flops)
            ended = (flops, found.value, found.interval, found.half_width, bool(found.doubts))
            return _stop(world, options, *ended, rounds, len(rows))


def _stop(
    world: World,
    options: Adaptive,
    flops: float,
    value: float,
    interval: tuple[float, float],
    half_width: float,
    noticed: bool,
    rounds: int,
    cells: int,
) -> Stop:
    target = parse_target(options.target)
    truth = true_value(world, target)
    miss = math.log(value / truth) if target.relative else value - truth
    held = interval[0] <= truth <= interval[1]
    return Stop(flops + extras(world), half_width, held, miss, noticed, rounds, cells)


def _columns(rows: Sequence[dict]) -> tuple[np.ndarray, ...]:
    names = ("n_params_non_embedding", "n_tokens", "loss")
    return tuple(np.array([row[name] for row in rows], dtype=float) for name in names)


def _trunks(cells: Sequence[PlannedCell]) -> np.ndarray:
    """The number of each cell's trunk; a fresh run is its own."""
    keys = [p.cell.recipe if p.cell.recipe.schedule.name == "wsd" else p.cell for p in cells]
    numbers = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys])


@functools.cache
def _ladder(world: World) -> Ladder:
    return build_ladder(world.config, CORPUS, world.config.rates)


@functools.cache
def extras(world: World) -> float:
    """FLOPs of tuning the rate, and of the checks at the least and the largest budget: half and twice the
    rate, and where trunks are shared a fresh cosine run."""
    config = world.config
    tuning = sum(p.cell.flops for p in tuning_cells(config, CORPUS))
    cells = {
        (p.budget, p.cell.recipe.model.width): p
        for p in grid_cells(config.with_options(seeds=1), CORPUS, config.rates)
    }
    centres = [
        cells[budget, config.widths_at(budget, CORPUS)[config.sizes // 2]] for budget in config.budgets
    ]
    checks = check_cells(config.with_options(checks=True), centres)
    roles = ("rate_half", "rate_double", *(["fresh_cosine"] if config.schedule.name == "wsd" else []))
    return float(tuning + sum(p.cell.flops for p in checks if p.role in roles))


@functools.cache
def true_value(world: World, target: Target) -> float:
    """The target in the world's own law, rates tuned."""
    config = world.config
    ends = np.array([config.budgets[0], config.budgets[-1]])
    values = target.values(find_law(world.law), world.params_P[None], ends, _ladder(world).space.cost)
    return target.shown(float(values[0]))
