"""The ladder of a largest budget, and what it will take on a device whose pace was measured."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.training_speed import RandomTokens
from isoflop.sweeps.configs.h200_synthetic import SWEEP
from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.rates import Rates
from isoflop.sweeps.plan import Plan, make_plan
from isoflop.train.data.corpus import Corpus
from isoflop.train.loop import pack_key
from isoflop.train.spec import Recipe
from isoflop.train.step import shape_of

TOPS = (1e16, 5e15, 3e15, 2e15, 1e15, 5e14, 3e14, 2e14, 1e14, 3e13, 1e13)
"""Largest budgets, FLOPs, from the one that is wanted down."""
RATIO = 3.0
"""Between budgets."""
BUDGETS = 5
IDS = 512
"""The vocabulary of the sweep's chain."""
LADDER = (32, 48, 64, 80, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640)
TOKEN_EXPONENT = 0.45
"""How the tokens at a budget's minimum are taken to grow with it."""
EVAL_WINDOWS, TUNE_WINDOWS = 4096, 2048


@dataclass(frozen=True)
class Pace:
    """What was measured of a device with some workers on it, in one of them beside the others: `step_flops`,
    ascending, and `step_seconds` of a step of all members of a program; `compile_seconds` of a program."""

    workers: int
    step_flops: tuple[float, ...]
    step_seconds: tuple[float, ...]
    compile_seconds: float

    def seconds(self, flops: float) -> float:
        """Seconds of a step of so many FLOPs: by interpolation in logs; below those measured the least, above
        them in proportion."""
        x, y = np.log(self.step_flops), np.log(self.step_seconds)
        beyond = max(0.0, math.log(flops) - float(x[-1]))
        return math.exp(float(np.interp(math.log(flops), x, y)) + beyond)


@dataclass(frozen=True)
class LadderPrice:
    """What a ladder takes: FLOPs, steps of programs one after the other, programs, and seconds in all."""

    flops: int
    steps: int
    programs: int
    seconds: float


SMALL = SWEEP.with_options(
    data="synthetic:markov,order=1,vocab=32,branch=8",
    budgets=(1e8, 2e8, 4e8, 8e8),
    ladder=(8, 16, 24),
    sizes=3,
    centre_width=16,
    centre_budget=3e8,
    context_length=16,
    batch_size=4,
    batch_exponent=0.0,
    rates=Rates(0.005, base_tokens=1e4, tried=(0.5, 1.0), widths=(8,), horizons=(1e4, 2e4), seeds=1),
    seeds=1,
    checks=False,
    eval_windows=64,
    tune_windows=64,
    dtype="float32",
    trackers=("jsonl",),
)
"""A ladder that proves only that it runs."""


def ladder_config(top: float) -> SweepConfig:
    """The ladder up to `top` FLOPs: `h200-synthetic` with budgets, tuning and widths moved to where its
    minima are expected. No checks of the rate rule: they cost a quarter of a ladder."""
    scale = top / SWEEP.budgets[-1]
    spans = round(math.log(scale**TOKEN_EXPONENT) / math.log(SWEEP.trunk_span))
    horizons = tuple(h * SWEEP.trunk_span**spans for h in SWEEP.rates.horizons)
    budgets = tuple(float(f"{top / RATIO**k:.3g}") for k in reversed(range(BUDGETS)))
    rates = replace(SWEEP.rates, horizons=horizons, widths=_tuned_widths(top))
    return replace(
        SWEEP,
        budgets=budgets,
        ladder=LADDER,
        rates=rates,
        checks=False,
        eval_windows=EVAL_WINDOWS,
        tune_windows=TUNE_WINDOWS,
        trackers=("jsonl",),
    )


def _tuned_widths(top: float) -> tuple[int, int]:
    """Those expected to be the best at a hundredth of the top and at a tenth, one apart at least."""
    config = replace(SWEEP, ladder=LADDER, sizes=1)
    corpus = RandomTokens(IDS)
    small, large = (config.widths_at(top / part, corpus)[0] for part in (100, 10))
    return small, max(large, LADDER[LADDER.index(small) + 2])


def price(config: SweepConfig, corpus: Corpus, pace: Pace) -> LadderPrice:
    """The price of tuning and grid, the largest budget's cells among them, by what is packed together."""
    plan: Plan = make_plan(config, corpus)
    seconds, steps, flops = 0.0, 0, 0
    programs: set[tuple[Recipe, int]] = set()
    for stage in (plan.tuning, plan.grid):
        for members, segment_steps, recipe in _packs(plan, stage):
            step_flops = members * recipe.batch_tokens * recipe.ledger.train_flops
            programs.add((shape_of(recipe), members))
            seconds += segment_steps * pace.seconds(step_flops)
            steps += segment_steps
            flops += segment_steps * step_flops
    seconds += pace.compile_seconds * len(programs)
    return LadderPrice(flops, steps, len(programs), seconds / pace.workers)


def _packs(plan: Plan, stage: Sequence[PlannedCell]) -> list[tuple[int, int, Recipe]]:
    """Members, steps and recipe of each pack: segments of one shape that start and stop together."""
    packs = defaultdict(list)
    for segment in plan.tree(stage).segments.values():
        packs[pack_key(segment)].append(segment)
    return [(len(p), p[0].stop - p[0].start, p[0].recipe) for p in packs.values()]
