"""For any table of runs: which to do next, what each costs and what it would buy."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from isoflop.analysis.approaches.fit import choose as choose_runs
from isoflop.analysis.approaches.fit import fit, prepare
from isoflop.analysis.compute import PerToken, per_token
from isoflop.analysis.design.criterion import Field, choose
from isoflop.analysis.design.estimate import METHOD, Estimate
from isoflop.analysis.design.fit_information import of_fit
from isoflop.analysis.design.guards import edges, fill, optima, thin, window
from isoflop.analysis.design.space import Pick, Space, Trunk, marks
from isoflop.analysis.design.targets import Target
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import LawFit, Misfit, optimal_size
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.uncertainty.resampling import trunks_of
from isoflop.base.display import Displayed, Summary, number, span
from isoflop.base.errors import UserError
from isoflop.base.json_values import Serializable

if TYPE_CHECKING:
    import pandas as pd

DECAY = 0.2
"""Share of a run's tokens that its own branch takes where trunks are shared: the usual schedule's decay."""
MOST_BUDGETS, MOST_SIZES = 8, 24
LEVELS = 5
"""Budgets and, where a table has too many, sizes are laid between the least and the largest, evenly in
logs."""
BEYOND = 2
"""Sizes beyond either end of the table's."""
FIXED = 1e-9
"""Relative half-width below which a law leaves its target no freedom."""
MOST = "narrows the interval most per FLOP"
SAME = 0.02
"""Relative distance within which a run is at a size or a budget."""


@dataclass(frozen=True)
class NextRun:
    """One training run or several that share a trunk: parameters, and a budget (FLOPs), tokens of each."""

    n_params: float
    budgets: tuple[float, ...]
    n_tokens: tuple[float, ...]
    trunk: str | None
    """The trunk's name in the table that it branches off; None: a new one, with a seed of its own."""
    seeds: int
    """How many such, each on a new trunk with a seed of its own."""
    flops: float
    """What they cost, with what is there already."""
    half_width: float
    """Of the target's interval, expected after these runs and those before them."""
    why: str


@dataclass(frozen=True)
class OtherEstimate:
    """The target by another method on the same runs."""

    method: str
    estimate: float
    interval: tuple[float, float]


@dataclass(frozen=True, repr=False)
class Proposal(Displayed, Serializable):
    """The target as it is known now, the runs in order, and what reaching the half-width would take."""

    target: str
    estimate: float
    interval: tuple[float, float]
    half_width: float
    half_width_wanted: float
    level: float
    trunk_sd: float
    """Standard deviation of the log loss, of what a trunk's runs have in common ..."""
    run_sd: float
    """... and of what each has of its own."""
    misfit: Misfit | None
    runs: tuple[NextRun, ...]
    flops: float
    half_width_after: float
    flops_to_target: float | None
    """Extrapolated from what these runs buy; None where they buy nothing or nothing is lacking."""
    method: str = ""
    """What gave the estimate and its interval."""
    other: OtherEstimate | None = None
    """Another method's, where it is further away than its own standard error."""
    warnings: tuple[str, ...] = field(default=())

    def to_frame(self) -> pd.DataFrame:
        """A row a run, by the names of `NextRun`."""
        import pandas as pd

        names = pd.Index([f.name for f in dataclasses.fields(NextRun)])
        return pd.DataFrame([dataclasses.asdict(run) for run in self.runs], columns=names)

    def summary(self) -> Summary:
        """What is known of the target, and the runs in order."""
        rows = [
            (number(r.n_params), ", ".join(map(number, r.n_tokens)), str(r.seeds), number(r.flops), r.why)
            for r in self.runs
        ]
        title = (
            f"Proposal: {self.target} {number(self.estimate)} {span(self.interval)}, half-width "
            f"{number(self.half_width)}; after {number(self.flops)} FLOPs {number(self.half_width_after)}"
        )
        return Summary(title, ("N", "D", "seeds", "FLOPs", "why"), rows, self.warnings)


def propose(
    table: RunTable,
    target: Target,
    half_width: float,
    max_flops: float | None = None,
    options: FitOptions | None = None,
) -> Proposal:
    """The runs that bring the target's half-width (see `Target.width`) to the one wanted at the least FLOPs.

    Rests on the fit that `isoflop fit` makes of the table by `options`: its estimate, its interval.

    In a table of IsoFLOP budgets minima come inside their sizes first and the frame of budgets gets its sizes
    (`guards`); the rest follows the criterion (`criterion`). Without `max_flops` as much is proposed as the
    table's runs cost.

    Raises:
        UserError: too few runs for the law, a law without the target or that fixes it, or a half-width or
        FLOPs
            that are no positive numbers.
    """
    for name, value in (("--half-width", half_width), ("--max-flops", max_flops)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"{name} {value}: give a positive number")
    options = options or FitOptions()
    table, _ = choose_runs(prepare(table, options), options)
    fitted = fit(table, replace(options, drop_worst=0))
    known, other = of_fit(table, fitted, target)
    law, cost, trunk_R = known.design.law, per_token(table), trunks_of(table)
    if known.half_width <= FIXED * abs(known.value):
        raise UserError(f"{law.name} fixes {target} whatever the runs say: choose another target or law")
    space = _space(table, cost, shared=trunk_R is not None)
    trunks, names, loss_FxB = _placed(table, space, trunk_R)
    with np.errstate(all="ignore"):
        fitted_B = np.log(optimal_size(law, known.params_P, space.budget_B, cost))
    log_N_B = optima(space, fitted_B, loss_FxB)
    board = _board(space, known, window(space, log_N_B))
    total = float(space.flops(*_families(trunks, len(space.budget_B))).sum()) or float(table.C_R.sum())
    left = max_flops or max(total, float(table.C_R.sum()))
    picks, whys = _needed(space, trunks, loss_FxB, log_N_B, left) if isoflop_groups(table) else ([], [])
    after = list(trunks)
    for pick in picks:
        pick.train(after)
    picks, told_PxP = _judged(board, trunks, picks)
    reached = picks[-1].ratio if picks else 1.0
    wanted = half_width / known.half_width
    left -= sum(pick.flops for pick in picks)
    if reached > wanted:
        further = choose(replace(board, information_PxP=told_PxP), after, left, wanted / reached)
        picks += [replace(pick, ratio=reached * pick.ratio) for pick in further]
        whys += [MOST] * len(further)
    found = _proposal(space, known, half_width, picks, whys, names, trunk_R is not None)
    return replace(found, method=_method(fitted), other=_other(other), warnings=_doubts(fitted))


def _method(fitted: LawFit) -> str:
    loss = "Huber" if fitted.objective and fitted.objective.loss == "huber" else "least squares"
    return f"isoflop fit ({loss})"


def _other(known: Estimate | None) -> OtherEstimate | None:
    if known is None:
        return None
    return OtherEstimate(METHOD, known.value, known.interval)


def _doubts(fitted: LawFit) -> tuple[str, ...]:
    """The fit's warnings, and which question the two suggestions of runs answer where both are made."""
    if not fitted.next_runs:
        return fitted.warnings
    lost = ", ".join(name for name, known in fitted.identified.items() if not known)
    return (
        *fitted.warnings,
        f"{lost} not identified: `run next` of isoflop fit names the runs that would identify; those here "
        "narrow the target's interval, and take the law at its fitted parameters",
    )


def _proposal(
    space: Space,
    known: Estimate,
    wanted: float,
    picks: list[Pick],
    whys: list[str],
    names: list[str],
    shared: bool,
) -> Proposal:
    runs = []
    for pick, why in zip(picks, whys, strict=True):
        old = pick.trunk is not None and pick.trunk < len(names)
        at = list(pick.budgets)
        runs.append(
            NextRun(
                n_params=float(space.N_F[pick.family]),
                budgets=tuple(space.budget_B[at].tolist()),
                n_tokens=tuple(space.D_FxB[pick.family, at].tolist()),
                trunk=names[pick.trunk] if old and pick.trunk is not None else None,
                seeds=pick.times,
                flops=pick.flops,
                half_width=known.half_width * pick.ratio,
                why=why,
            )
        )
    after = known.half_width * (picks[-1].ratio if picks else 1.0)
    flops = sum(pick.flops for pick in picks)
    return Proposal(
        target=str(known.target),
        estimate=known.value,
        interval=known.interval,
        half_width=known.half_width,
        half_width_wanted=wanted,
        level=known.level,
        trunk_sd=known.noise.trunk_sd if shared else 0.0,
        run_sd=known.noise.run_sd if shared else known.noise.total_sd,
        misfit=known.misfit,
        runs=tuple(runs),
        flops=flops,
        half_width_after=after,
        flops_to_target=_to_target(known.half_width, after, wanted, flops),
    )


def _to_target(before: float, after: float, wanted: float, flops: float) -> float | None:
    """Information, one over the half-width squared, grows with the FLOPs: extrapolated along a straight
    line."""
    if before <= wanted or not after < before:
        return None
    return flops * max(1.0, (wanted**-2 - before**-2) / (after**-2 - before**-2))


def _needed(
    space: Space, trunks: list[Trunk], loss_FxB: np.ndarray, log_N_B: np.ndarray, flops: float
) -> tuple[list[Pick], list[str]]:
    """The guards' picks and why: minima first; a budget that lacks nothing there may lack sizes."""
    lacking = edges(space, loss_FxB, log_N_B, space.possible_FxB)
    whys = dict.fromkeys(lacking, "brackets the minimum")
    for b, families in thin(space, loss_FxB, log_N_B, space.possible_FxB).items():
        if b not in lacking:
            lacking[b] = families
            whys[b] = "sizes to test the law"
    picks = fill(space, trunks, lacking, flops)
    return picks, [whys[pick.budgets[0]] for pick in picks]


def _judged(board: Field, trunks: list[Trunk], picks: list[Pick]) -> tuple[list[Pick], np.ndarray]:
    """The picks with what each is expected to buy, and the information after all of them."""
    information, judged, now = board.information_PxP, [], list(trunks)
    first = float(board.variance(information))
    B = len(board.space.budget_B)
    for pick in picks:
        done = () if pick.trunk is None else now[pick.trunk].done
        before, after = (
            board.told(np.array([pick.family]), marks(at, B)[None])[0]
            for at in (done, (*done, *pick.budgets))
        )
        information = information + after - before
        judged.append(replace(pick, ratio=math.sqrt(float(board.variance(information)) / first)))
        pick.train(now)
    return judged, information


def _board(space: Space, known: Estimate, allowed_FxB: np.ndarray) -> Field:
    return Field(
        space, allowed_FxB, known.slopes_over(space), known.information, known.gradient_P, known.noise.share
    )


def _space(table: RunTable, cost: PerToken, shared: bool) -> Space:
    """The table's sizes and two beyond either end, at its budgets; without trunks a family is one cell."""
    budget_B = _few(_budgets(table) or None, table.C_R, MOST_BUDGETS, LEVELS)
    sizes = np.unique(table.N_R)
    N_S = _few(sizes.tolist() if len(sizes) <= MOST_SIZES else None, table.N_R, MOST_SIZES, MOST_SIZES // 2)
    step = max((N_S[-1] / N_S[0]) ** (1 / max(len(N_S) - 1, 1)), 1.2)
    more = step ** np.arange(1, BEYOND + 1)
    N_S = np.concatenate([N_S[0] / more[::-1], N_S, N_S[-1] * more])
    S, B = len(N_S), len(budget_B)
    D_SxB = budget_B / cost(N_S)[:, None]
    flops_SxB = np.broadcast_to(budget_B, (S, B))
    decay = DECAY if shared else 1.0
    possible_SxB = (D_SxB >= 1) & (N_S[:, None] >= 1)
    found = Space(N_S, budget_B, D_SxB, (1 - decay) * flops_SxB, decay * flops_SxB, possible_SxB)
    if shared:
        return found
    at = np.repeat(np.arange(S), B)
    alone = np.tile(np.eye(B, dtype=bool), (S, 1))
    rows = {f.name: getattr(found, f.name)[at] for f in dataclasses.fields(Space) if f.name != "budget_B"}
    return replace(found, **rows | {"possible_FxB": rows["possible_FxB"] & alone})


def _budgets(table: RunTable) -> list[float]:
    """The nominal budgets of the table's IsoFLOP groups, or what their runs cost."""
    budget_R = table.budget_R
    groups = isoflop_groups(table)
    return [g.flops if budget_R is None else float(np.median(budget_R[g.rows])) for g in groups]


def _few(values: list[float] | None, x_R: np.ndarray, most: int, levels: int) -> np.ndarray:
    """The values if they are not too many, every n-th if they are; without any, levels over the runs'
    range."""
    if values is None:
        low, high = float(x_R.min()), float(x_R.max())
        return np.geomspace(low, max(high, 1.01 * low), levels)
    keep = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    return np.array(values)[keep]


def _placed(
    table: RunTable, space: Space, trunk_R: np.ndarray | None
) -> tuple[list[Trunk], list[str], np.ndarray]:
    """The trunks that can go on with their names, and the mean losses by place, FxB, NaN where there is
    none."""
    F, B = space.D_FxB.shape
    place_R = _places(table, space)
    losses: dict[tuple[int, int], list[float]] = {}
    done: dict[int, tuple[int, set[int]]] = {}
    for r, place in enumerate(place_R):
        if place is None:
            continue
        losses.setdefault(place, []).append(float(table.loss_R[r]))
        if trunk_R is not None:
            done.setdefault(int(trunk_R[r]), (place[0], set()))[1].add(place[1])
    loss_FxB = np.full((F, B), np.nan)
    for place, values in losses.items():
        loss_FxB[place] = float(np.exp(np.mean(np.log(values))))
    column = table.column("trunk_id")
    first = {} if trunk_R is None else {int(t): int(np.flatnonzero(trunk_R == t)[0]) for t in done}
    names = [str(column[first[t]]) for t in done] if column is not None else []
    trunks = [Trunk(f, tuple(sorted(at)), tuple(sorted(at))) for f, at in done.values()]
    return trunks, names, loss_FxB


def _places(table: RunTable, space: Space) -> list[tuple[int, int] | None]:
    """The family and budget that each run is at; None for one that is at none."""
    budget_R = table.C_R if table.budget_R is None else np.where(
        np.isfinite(table.budget_R), table.budget_R, table.C_R
    )  # fmt: skip
    found: list[tuple[int, int] | None] = []
    for n, c in zip(table.N_R, budget_R, strict=True):
        b = int(np.argmin(np.abs(np.log(space.budget_B / c))))
        away_F = np.where(space.possible_FxB[:, b], np.abs(np.log(space.N_F / n)), np.inf)
        f = int(np.argmin(away_F))
        near = away_F[f] <= SAME and abs(math.log(space.budget_B[b] / c)) <= SAME
        found.append((f, b) if near else None)
    return found


def _families(trunks: list[Trunk], budgets: int) -> tuple[np.ndarray, np.ndarray]:
    cells = np.array([marks(t.tried, budgets) for t in trunks]).reshape(len(trunks), budgets)
    return np.array([t.family for t in trunks], dtype=int), cells.astype(bool)
