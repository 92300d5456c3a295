"""isoflop plan --next"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from isoflop import analysis
from isoflop.analysis.options import FitOptions, ObjectiveOptions
from isoflop.arguments import JsonFlag, parse
from isoflop.base.formatting import brief, interval
from isoflop.commands.jax_setup import set_up_jax
from isoflop.commands.table_options import TableOptions
from isoflop.printing import print_result

if TYPE_CHECKING:
    from isoflop.analysis.design.next_runs import IdentifyingRuns, NextRun, Proposal

MOST_ROWS = 12
"""Kinds of runs that are shown: a screen holds them with the lines about them."""
LEAST_SHARE = 0.005
"""Share of the narrowing from which a kind of run has a row: a smaller one would be shown as 0%."""

Kind = tuple[float, tuple[float, ...], str | None, str]


@dataclass(frozen=True)
class NextRuns(TableOptions, ObjectiveOptions):
    """Which runs to do next: what each costs, and what it would buy."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Tables (CSV, TSV, JSON, JSON Lines, Parquet), sweeps, wandb:entity/project, public:NAME,
    measured:NAME; pooled."""
    target: str | None = None
    """What to know better: a, b, n_opt@FLOPS or loss@FLOPS. Unless named: whatever the fit leaves open, and a
    where it leaves nothing open."""
    half_width: float | None = None
    """Half of the 95% interval wanted; of n_opt a share of it, of a loss in the loss's unit. By default .02,
    .02, .1, .01."""
    max_flops: float | None = None
    """What the runs may cost together; as much as the table's own did unless given."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints the runs to do next."""
    asked = parse(NextRuns, argv, "plan --next")
    set_up_jax()
    table = asked.load(asked.runs)
    found = analysis.next_runs(
        table, asked.target, asked.half_width, asked.max_flops, FitOptions.among(asked)
    )
    unit = table.conventions.short_unit
    is_open = isinstance(found, analysis.IdentifyingRuns)
    shown = _identifying(found, unit) if is_open else _narrowing(found, unit)
    print_result(found, asked.as_json, shown)
    return 0


def _identifying(found: IdentifyingRuns, unit: str) -> Iterator[RenderableType]:
    """The runs that would identify what the fit leaves open, in words; `unit`: of the loss."""
    yield Text.assemble((", ".join(found.parameters), "bold"), " not identified")
    if not found.runs:
        yield "no run of the largest one's price would identify them"
        return
    yield "next, where parameters that now fit equally well disagree most (several seeds each):"
    table = _right_aligned("N", "tokens", "price", "they differ by")
    for run in found.runs:
        gap = "" if math.isnan(run["separates"]) else f"{brief(run['separates'])}{unit}"
        table.add_row(brief(run["n_params"]), brief(run["n_tokens"]), brief(run["flops"]), gap)
    yield table


def _narrowing(found: Proposal, loss_unit: str) -> Iterator[RenderableType]:
    """The proposal in words, runs that differ in their seed alone in one row."""
    unit = {"n_opt": "% of it", "loss": loss_unit}.get(found.target.partition("@")[0], "")

    def width(value: float) -> str:
        return f"{100 * value:.3g}{unit}" if unit.startswith("%") else f"{value:.3g}{unit}"

    estimate = f" {brief(found.estimate)} {interval(found.interval)}, by {found.method}"
    yield Text.assemble((found.target, "bold"), estimate)
    if found.other:
        other = found.other
        yield f"  beside {brief(other.estimate)} {interval(other.interval)}, by {other.method}"
    wanted = width(found.half_width_wanted)
    yield f"half-width {width(found.half_width)} at {found.level:.0%}, wanted {wanted}"
    shared = f", {brief(found.trunk_sd)} that a trunk's runs share" if found.trunk_sd else ""
    yield f"noise of the log loss: {brief(found.run_sd)} of each run{shared}"
    if not found.runs:
        enough = found.half_width <= found.half_width_wanted
        yield "nothing is lacking" if enough else "no run within the FLOPs would help"
        return
    yield "next, by what narrows it most per FLOP (seeds of their own each):"
    kinds = list(_alike(found).items())
    shown = [kind for kind in kinds if _has_a_row(*kind)][:MOST_ROWS]
    yield _table(shown)
    if len(kinds) > len(shown):
        yield f"  and {len(kinds) - len(shown)} kinds more (--json has all, one by one)"
    reached = f"half-width {width(found.half_width)} -> {width(found.half_width_after)}"
    yield f"together {brief(found.flops)} FLOPs: {reached}"
    if found.flops_to_target and found.half_width_after > found.half_width_wanted:
        yield f"to reach {wanted}: about {brief(found.flops_to_target)} FLOPs more"


def _has_a_row(kind: Kind, same: list[tuple[NextRun, float]]) -> bool:
    """Whether the runs do more than a rounded 0% of the narrowing, or are there for another reason."""
    from isoflop.analysis.design.choice import NARROWS

    return kind[3] != NARROWS or sum(part for _, part in same) >= LEAST_SHARE


def _table(kinds: list[tuple[Kind, list[tuple[NextRun, float]]]]) -> Table:
    """A row a kind of run: how many, of which size, at which budgets, their price and their use."""
    from isoflop.analysis.design.choice import NARROWS

    table = _right_aligned("runs", "N", "FLOPs", "tokens", "price", "of gain")
    table.add_column("")
    for (size, budgets, trunk, why), same in kinds:
        kind = f"branch of trunk {trunk}" if trunk else "one trunk" if len(budgets) > 1 else ""
        table.add_row(
            str(sum(run.seeds for run, _ in same)),
            brief(size),
            "\n".join(brief(budget) for budget in budgets),
            "\n".join(brief(tokens) for tokens in same[0][0].n_tokens),
            brief(sum(run.flops for run, _ in same)),
            f"{sum(part for _, part in same):.0%}",
            "; ".join(words for words in (kind, "" if why == NARROWS else why) if words),
        )
    return table


def _right_aligned(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _alike(found: Proposal) -> dict[Kind, list[tuple[NextRun, float]]]:
    """The runs that differ in their seed alone, each with its share of the narrowing (in logs)."""
    kinds: dict[Kind, list[tuple[NextRun, float]]] = {}
    before = found.half_width
    all_of_it = math.log(found.half_width / found.half_width_after) if found.half_width_after else 0.0
    for run in found.runs:
        part = math.log(before / run.half_width) / all_of_it if all_of_it > 0 else 0.0
        kinds.setdefault((run.n_params, run.budgets, run.trunk, run.why), []).append((run, part))
        before = run.half_width
    return kinds
