"""`next_runs`: which runs next, of any table, to identify parameters or to narrow a target's interval."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from isoflop.analysis.approaches.fit import choose, fit, prepare
from isoflop.analysis.compute import per_token
from isoflop.analysis.design.choice import Progress, next_picks
from isoflop.analysis.design.estimate import METHOD, Estimate, FinishedRuns, estimate, estimate_of_fit
from isoflop.analysis.design.space import Pick, Space, tried_cells
from isoflop.analysis.design.table_space import placed, space_of
from isoflop.analysis.design.targets import parse_target
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.laws import find_law
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import LawFit, Misfit
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.uncertainty.quantities import budget_range
from isoflop.analysis.uncertainty.resampling import trunks_of
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import Serializable

if TYPE_CHECKING:
    import pandas as pd

HALF_WIDTHS = {"a": 0.02, "b": 0.02, "n_opt": 0.10, "loss": 0.01}
"""Half-widths wanted by target, unless one is given: what the published exponents differ by, and the noise of
a seed."""
FIXED = 1e-9
"""Relative half-width below which a law leaves its target no freedom."""


@dataclass(frozen=True)
class Identify:
    """The goal of identifying the parameters that the runs leave open."""


@dataclass(frozen=True)
class Narrow:
    """The goal of narrowing the interval of a target."""

    target: str = "a"
    """`a`, `b`, `n_opt@FLOPS` or `loss@FLOPS`."""
    half_width: float | None = None
    """Half of the interval wanted; of `n_opt` a share of it, of a loss nats. By default .02, .02, .1, .01."""
    max_flops: float | None = None
    """What the runs may cost together; as much as the table's own did unless given."""
    round_flops: float | None = None
    """Where given, the answer is one round of an adaptive sweep: see `choice.next_picks`."""
    method: Literal["fit", "trunk effects"] = "fit"
    """What says how well the target is known: the fit that the options ask for, or least squares with trunk
    effects, as an adaptive sweep decides by."""
    level: float = 0.95
    """Coverage of the interval with trunk effects; the options give the fit's."""

    def __post_init__(self) -> None:
        for name, value in (("--half-width", self.half_width), ("--max-flops", self.max_flops)):
            if value is not None and not value > 0:
                raise UserError(f"{name} {value}: give a positive number")
        parse_target(self.target)


@dataclass(frozen=True, repr=False)
class IdentifyingRuns(Displayed, Serializable):
    """The runs on which parameters that now fit equally well disagree most, best first."""

    parameters: tuple[str, ...]
    """Those that are not identified, exponents among them."""
    runs: tuple[dict[str, float], ...]
    """As `LawFit.next_runs` has them."""
    warnings: tuple[str, ...] = ()
    goal: str = "identify"

    @property
    def flops(self) -> float:
        """What the runs cost together."""
        return sum(run["flops"] for run in self.runs)

    def to_frame(self) -> pd.DataFrame:
        """A row a run."""
        import pandas as pd

        return pd.DataFrame(list(self.runs))

    def summary(self) -> Summary:
        """The parameters, and the runs in order."""
        rows = [(brief(r["n_params"]), brief(r["n_tokens"]), brief(r["flops"]),
                 brief(r["separates"])) for r in self.runs]  # fmt: skip
        title = f"Runs that would identify {', '.join(self.parameters) or 'nothing further'}"
        return Summary(title, ("N", "D", "FLOPs", "rivals differ by"), rows, self.warnings)


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
    """Half-width of the target's interval, expected after these runs and those before them."""
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
    """Standard deviation of what the log losses of a trunk's runs have in common ..."""
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
    warnings: tuple[str, ...] = ()
    goal: str = "narrow"

    def to_frame(self) -> pd.DataFrame:
        """A row a run, by the names of `NextRun`."""
        import pandas as pd

        names = pd.Index([f.name for f in dataclasses.fields(NextRun)])
        return pd.DataFrame([dataclasses.asdict(run) for run in self.runs], columns=names)

    def summary(self) -> Summary:
        """What is known of the target, and the runs in order."""
        rows = [
            (brief(r.n_params), ", ".join(map(brief, r.n_tokens)), str(r.seeds), brief(r.flops), r.why)
            for r in self.runs
        ]
        title = (
            f"Proposal: {self.target} {brief(self.estimate)} {interval(self.interval)}, half-width "
            f"{brief(self.half_width)}; after {brief(self.flops)} FLOPs {brief(self.half_width_after)}"
        )
        return Summary(title, ("N", "D", "seeds", "FLOPs", "why"), rows, self.warnings)


def goal_of(target: str | None, half_width: float | None, max_flops: float | None) -> Narrow | None:
    """The goal of what a person asked for; None, to be chosen by the fit, where nothing was."""
    if target is None and half_width is None and max_flops is None:
        return None
    return Narrow(target or "a", half_width, max_flops)


def next_runs(
    table: RunTable,
    goal: Identify | Narrow | None = None,
    options: FitOptions | None = None,
    space: Space | None = None,
) -> Proposal | IdentifyingRuns:
    """The runs that serve the goal best, each with its price.

    Args:
        table: the runs there are.
        goal: `Identify()`, or `Narrow(...)` a target's interval. By default the former where the fit leaves
            parameters open, else the exponent `a` is narrowed.
        options: what `isoflop fit` is asked for; the answer rests on that fit.
        space: the cells that could be trained; by default the table's sizes and budgets, and two sizes
            beyond either end.

    To identify: two runs at most, which `LawFit.next_runs` has too. To narrow: in a table of IsoFLOP budgets
    minima come inside their sizes first and the tested budgets get theirs (`guards`); the rest follows the
    criterion (`criterion`).

    Raises:
        UserError: an unknown target or law, a number out of range, a table too small for the law, a law
            without the target or one that fixes it.
    """
    options = options or FitOptions()
    if options.fix or options.tie or options.share:
        raise UserError("the next runs are chosen for a law of free parameters: leave out fix, tie and share")
    table, _ = choose(prepare(table, options), options)
    if isinstance(goal, Narrow) and goal.method == "trunk effects":
        return _narrowing(table, goal, _by_trunk_effects(table, goal, options, space), space)
    fitted = fit(table, replace(options, drop_worst=0))
    lost = fitted.unidentified
    if goal is None and not lost:
        goal = Narrow()
    if not isinstance(goal, Narrow):
        other = "to narrow the interval of one target instead, name it: --target a"
        return IdentifyingRuns(lost, fitted.next_runs, (*fitted.warnings, other))
    known, other = estimate_of_fit(table, fitted, parse_target(goal.target))
    found = _narrowing(table, goal, known, space)
    loss = "Huber" if fitted.objective and fitted.objective.loss == "huber" else "least squares"
    return replace(
        found,
        method=f"isoflop fit ({loss})",
        other=None if other is None else OtherEstimate(METHOD, other.value, other.interval),
        warnings=(*fitted.warnings, *_other_goal(fitted, lost)),
    )


def _by_trunk_effects(table: RunTable, goal: Narrow, options: FitOptions, space: Space | None) -> Estimate:
    """The target by generalized least squares."""
    law = find_law(options.law)
    C_K = budget_range(table) if space is None else space.budget_B[[0, -1]]
    cost = per_token(table) if space is None else space.cost
    runs = FinishedRuns.of_table(table, law)
    return estimate(runs, law, parse_target(goal.target), cost, C_K, goal.level)


def _other_goal(fitted: LawFit, lost: tuple[str, ...]) -> tuple[str, ...]:
    """Which of the two goals these runs serve, where the fit has runs for the other as well."""
    if not fitted.next_runs:
        return ()
    return (
        f"{', '.join(lost)} not identified: leave out --target for the runs that would identify; those here "
        "narrow the target's interval, and take the law at its fitted parameters",
    )


def _narrowing(table: RunTable, goal: Narrow, known: Estimate, space: Space | None) -> Proposal:
    """The engine's picks for a table, as runs."""
    if known.half_width <= FIXED * abs(known.value):
        law = known.problem.law.name
        raise UserError(f"{law} fixes {known.target} whatever the runs say: choose another target or law")
    guarded = space is not None or bool(isoflop_groups(table))
    space = space_of(table, per_token(table)) if space is None else space
    trunks, names, loss_FxB = placed(table, space)
    progress = Progress(space, trunks, loss_FxB, space.possible_FxB, known, guarded)
    spent = max(float(space.flops(*tried_cells(trunks, len(space.budget_B))).sum()), float(table.C_R.sum()))
    wanted = HALF_WIDTHS[known.target.name] if goal.half_width is None else goal.half_width
    picks = next_picks(progress, wanted, goal.max_flops or spent, goal.round_flops).picks
    after = known.half_width * (picks[-1].ratio if picks else 1.0)
    flops = sum(pick.flops for pick in picks)
    shared = trunks_of(table) is not None
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
        runs=tuple(_run(pick, space, names, known.half_width) for pick in picks),
        flops=flops,
        half_width_after=after,
        flops_to_target=_to_target(known.half_width, after, wanted, flops),
        method=METHOD,
        warnings=known.doubts,
    )


def _run(pick: Pick, space: Space, names: list[str], half_width: float) -> NextRun:
    """A pick in the units of a person; a trunk that an earlier pick begins has no name yet."""
    at = list(pick.budgets)
    return NextRun(
        n_params=float(space.N_F[pick.family]),
        budgets=tuple(space.budget_B[at].tolist()),
        n_tokens=tuple(space.D_FxB[pick.family, at].tolist()),
        trunk=None if pick.trunk is None or pick.trunk >= len(names) else names[pick.trunk],
        seeds=pick.times,
        flops=pick.flops,
        half_width=half_width * pick.ratio,
        why=pick.why,
    )


def _to_target(before: float, after: float, wanted: float, flops: float) -> float | None:
    """Information, one over the half-width squared, grows with the FLOPs: extrapolated along a straight
    line."""
    if before <= wanted or not after < before:
        return None
    return flops * max(1.0, (wanted**-2 - before**-2) / (after**-2 - before**-2))
