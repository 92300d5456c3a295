"""An adaptive sweep: it begins coarse and cheap, and trains what narrows the chosen interval most per FLOP.

A policy over values: it trains nothing and remembers nothing. From the rows so far follow the next cells,
always the same ones, so that a sweep that was killed goes on as if it hadn't been.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pydantic

from isoflop.analysis.design.choice import BRACKETS, Progress, next_picks
from isoflop.analysis.design.estimate import METHOD, Estimate, FinishedRuns, estimate
from isoflop.analysis.design.space import Pick, Trunk, tried_cells
from isoflop.analysis.design.targets import parse_target
from isoflop.analysis.laws import find_law
from isoflop.base.errors import UserError
from isoflop.base.fields import Positive, check_fields
from isoflop.sweeps.grids.cells import PlannedCell, grid_cells
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.grids.ladder import Ladder, build_ladder
from isoflop.sweeps.grids.rates import Rates
from isoflop.train.data.corpus import Corpus

LOOKS = 0.25
"""Share of the error allowed that an interval is given when it may decide to stop. Among many looks the sweep
stops at one where the noise happens to look small; and rates that are a little off are no noise that more
seeds would average out. Chosen by simulation, see docs/adaptive.md."""


@dataclass(frozen=True)
class Adaptive:
    """What an adaptive sweep is for, and when it stops."""

    target: str = "a"
    """a, b (exponents of N_opt and D_opt), n_opt@FLOPS or loss@FLOPS."""
    half_width: Positive = 0.02
    """Half of the interval to stop at; of n_opt a share of it, of a loss nats."""
    max_flops: Positive | None = None
    """Stop before this many FLOPs are spent, tuning included."""
    batch: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.35
    """A round costs at most this share of what the rounds before it did."""
    law: str = "chinchilla"
    """The law whose interval is narrowed; one of N and D alone."""
    level: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.95
    """Coverage of the interval at the stop."""

    @property
    def level_at_a_look(self) -> float:
        """The level of each interval on the way, under which the one at the stop has `level`."""
        return 1.0 - LOOKS * (1.0 - self.level)

    def __post_init__(self) -> None:
        parse_target(self.target)
        check_fields(self)
        _require(
            not find_law(self.law).covariates,
            f"law {self.law} needs more of a run than N and D: choose another",
        )


@dataclass(frozen=True)
class Decision:
    """What to train next, and what is known so far. FLOPs count the adaptive cells alone."""

    cells: tuple[PlannedCell, ...]
    done: bool
    why: str
    flops: float
    """Spent on the rows so far, shared trunks once."""
    next_flops: float
    """What the cells cost."""
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    half_width: float | None = None
    expected_half_width: float | None = None
    """After the cells."""
    trunk_sd: float | None = None
    run_sd: float | None = None
    """Standard deviations of the log loss."""
    misfit: float | None = None
    """Probability of a misfit as bad under the law."""
    warnings: tuple[str, ...] = ()


def first_cells(config: SweepConfig, corpus: Corpus, rates: Rates) -> list[PlannedCell]:
    """The lower half of the budgets, each at the config's own sizes. Raises `UserError` for fewer than three
    budgets or sizes."""
    _require(
        len(config.budgets) >= 3 and config.sizes >= 3,
        f"sweep {config.name} has {len(config.budgets)} budgets and {config.sizes} sizes: an adaptive sweep "
        "needs three of each to begin with",
    )
    ladder = build_ladder(config, corpus, rates)
    few = (len(config.budgets) + 1) // 2
    grid = grid_cells(config.with_options(seeds=1), corpus, rates)
    wanted = [(p.cell.recipe.model.width, p.budget) for p in grid]
    places = [ladder.place[at] for at in wanted if at in ladder.place and at[1] <= config.budgets[few - 1]]
    return [ladder.cell(f, b, config.seed) for f, b in places]


def next_cells(
    config: SweepConfig,
    corpus: Corpus,
    rates: Rates,
    rows: Sequence[Mapping[str, Any]],
    options: Adaptive,
    other_flops: float = 0.0,
) -> Decision:
    """What to train after `rows`, those of all cells that were chosen before, in the run table's columns.

    `other_flops`: spent elsewhere, as on tuning; counted against `options.max_flops` only. The cells are the
    ladder's that `isoflop.analysis.design.next_runs` names for the same runs, target and FLOPs.
    """
    ladder = build_ladder(config, corpus, rates)
    tried = _Tried.of(ladder, rows)
    left = (options.max_flops or math.inf) - other_flops - tried.flops
    known, law = None, find_law(options.law)
    if tried.enough(len(law.parameters)):
        space, target = ladder.space, parse_target(options.target)
        lowest_and_highest = space.budget_B[[0, -1]]
        known = estimate(tried.runs, law, target, space.cost, lowest_and_highest, options.level_at_a_look)
    progress = Progress(
        ladder.space, tried.trunks, tried.loss_FxB, ladder.space.possible_FxB & ~tried.failed_FxB, known
    )
    chosen = next_picks(progress, options.half_width, left, options.batch * tried.flops)
    why = _why(config, options, known, chosen.lacking, chosen.picks, left)
    return tried.decision(why, known, _cells_of(ladder, tried, chosen.picks), chosen.picks)


def _why(
    config: SweepConfig,
    options: Adaptive,
    known: Estimate | None,
    lacking: Mapping[int, str],
    picks: Sequence[Pick],
    left: float,
) -> str:
    """The reason for these picks, or for none, in words."""
    if lacking:
        named = ", ".join(f"{config.budgets[b]:.3g}" for b in lacking)
        brackets = BRACKETS in lacking.values()
        what = "the least loss lies at an end of the sizes" if brackets else "too few sizes"
        return f"{what} at {named} FLOPs" + ("" if picks else ", and the FLOPs are spent")
    if known is None:
        return "too few cells finished to fit a law, and no others are left"
    width = f"the half-width of {known.target} is {known.half_width:.3g} by {METHOD}"
    if picks:
        after = known.half_width * picks[-1].ratio
        return f"{width}, and these narrow it most per FLOP: to {after:.3g}"
    if known.half_width <= options.half_width:
        return f"{width}, as wanted"
    return "the FLOPs are spent" if math.isfinite(left) else "no further cell would help"


@dataclass(frozen=True)
class _Tried:
    """The rows by place: finished runs, trunks begun, mean losses (NaN where none), places without
    success."""

    runs: FinishedRuns
    trunks: tuple[Trunk, ...]
    seeds: tuple[int, ...]
    """Seed of each trunk."""
    loss_FxB: np.ndarray
    failed_FxB: np.ndarray
    flops: float

    @classmethod
    def of(cls, ladder: Ladder, rows: Sequence[Mapping[str, Any]]) -> _Tried:
        space = ladder.space
        total_FxB, count_FxB, tried_FxB = (np.zeros(space.D_FxB.shape) for _ in range(3))
        begun: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        finished: list[tuple[float, float, float, tuple[int, int]]] = []
        for row in rows:
            at = ladder.place.get((row["d_model"], row["budget"]))
            if at is None:
                raise UserError(
                    f"width {row['d_model']} at {row['budget']:.3g} FLOPs is no cell of {ladder.config.name}"
                )
            trunk = (at[0], row["init_seed"])
            done, had = begun.setdefault(trunk, ([], []))
            had.append(at[1])
            tried_FxB[at] += 1
            if row["status"] == "finished":
                done.append(at[1])
                total_FxB[at] += math.log(row["loss"])
                count_FxB[at] += 1
                finished.append((row["n_params_non_embedding"], row["n_tokens"], row["loss"], trunk))
        numbers = {trunk: k for k, trunk in enumerate(dict.fromkeys(run[3] for run in finished))}
        N_R, D_R, loss_R = np.array([run[:3] for run in finished], dtype=float).reshape(-1, 3).T
        trunks = tuple(
            Trunk(f, tuple(sorted(done)), tuple(sorted(had)), len(done) == len(had))
            for (f, _), (done, had) in begun.items()
        )
        return cls(
            runs=FinishedRuns(N_R, D_R, loss_R, np.array([numbers[run[3]] for run in finished], dtype=int)),
            trunks=trunks,
            seeds=tuple(seed for _, seed in begun),
            loss_FxB=np.exp(np.where(count_FxB > 0, total_FxB / np.maximum(count_FxB, 1), np.nan)),
            failed_FxB=(tried_FxB > 0) & (count_FxB == 0),
            flops=float(space.flops(*tried_cells(trunks, len(space.budget_B))).sum()),
        )

    def enough(self, parameters: int) -> bool:
        """Whether a law of so many parameters can be fitted and judged."""
        points = np.unique(np.stack([self.runs.N_R, self.runs.D_R]), axis=1).shape[1]
        return min(points, len(self.runs.loss_R) - 1) > parameters

    def decision(
        self,
        why: str,
        known: Estimate | None,
        cells: Sequence[PlannedCell],
        picks: Sequence[Pick],
    ) -> Decision:
        """The cells with all that is known; without any the sweep is done."""
        price = sum(pick.flops for pick in picks)
        ratio = picks[-1].ratio if picks else math.nan
        if known is None:
            return Decision(tuple(cells), not cells, why, self.flops, price)
        return Decision(
            cells=tuple(cells),
            done=not cells,
            why=why,
            flops=self.flops,
            next_flops=price,
            estimate=known.value,
            interval=known.interval,
            half_width=known.half_width,
            expected_half_width=None if math.isnan(ratio) else known.half_width * ratio,
            trunk_sd=known.noise.trunk_sd,
            run_sd=known.noise.run_sd,
            misfit=None if known.misfit is None else known.misfit.p_value,
            warnings=known.doubts,
        )


def _cells_of(ladder: Ladder, tried: _Tried, picks: Sequence[Pick]) -> list[PlannedCell]:
    """The picks' cells; new trunks take the lowest seeds under which their family has none."""
    places = [(trunk.family, seed) for trunk, seed in zip(tried.trunks, tried.seeds, strict=True)]
    cells = []
    for pick in picks:
        seeds = []
        for _ in range(pick.times if pick.trunk is None else 0):
            used = {seed for family, seed in places if family == pick.family}
            seeds.append(next(s for s in range(ladder.config.seed, 2**31) if s not in used))
            places.append((pick.family, seeds[-1]))
        for seed in seeds if pick.trunk is None else [places[pick.trunk][1]]:
            cells += [ladder.cell(pick.family, b, seed) for b in pick.budgets]
    return cells


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)
