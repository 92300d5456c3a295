"""isoflop plan --next"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from isoflop import analysis
from isoflop.arguments import parse
from isoflop.commands.sweep import stay_off_the_accelerator
from isoflop.commands.table_options import TableOptions
from isoflop.commands.words import number, span

if TYPE_CHECKING:
    from isoflop.analysis.design.proposal import NextRun, Proposal

SHOWN = 12
"""Lines of runs in words."""


@dataclass(frozen=True)
class NextRuns(TableOptions):
    """Which runs to do next: what each costs, and what it would buy."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Tables (CSV, TSV, JSON, JSON Lines, Parquet), sweeps, wandb:entity/project, public:NAME; pooled."""
    target: str = "a"
    """What to know better: a, b, n_opt@FLOPS or loss@FLOPS."""
    half_width: float | None = None
    """Half of the 95% interval wanted; of n_opt a share of it, of a loss nats. By default .02, .02, .1,
    .01."""
    max_flops: float | None = None
    """What the runs may cost together; as much as the table's own did unless given."""
    law: str = "chinchilla"
    """The law, or a .py file of your own."""
    as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object and nothing else."""


def run(argv: list[str]) -> int:
    """Prints the runs to do next."""
    asked = parse(NextRuns, argv, "plan --next")
    stay_off_the_accelerator()
    table = asked.load(asked.runs)
    found = analysis.next_runs(table, asked.target, asked.half_width, asked.max_flops, asked.law)
    if asked.as_json:
        print(json.dumps(found.to_json()))
    else:
        console = Console(highlight=False)
        for line in lines(found):
            console.print(line, soft_wrap=True)
    for warning in (*table.warnings, *found.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def lines(found: Proposal) -> Iterator[str]:
    """The proposal in words, runs that differ in their seed alone in one line."""
    from isoflop.analysis.design.proposal import MOST

    unit = {"n_opt": "% of it", "loss": " nats"}.get(found.target.partition("@")[0], "")

    def width(value: float) -> str:
        return f"{100 * value:.3g}{unit}" if unit.startswith("%") else f"{value:.3g}{unit}"

    yield (
        f"[bold]{found.target}[/bold] {number(found.estimate)} {span(found.interval)}: half-width "
        f"{width(found.half_width)} at {found.level:.0%}, wanted {width(found.half_width_wanted)}"
    )
    yield (
        f"noise of the log loss: {number(found.trunk_sd)} that a trunk's runs share, "
        f"{number(found.run_sd)} of each run"
    )
    if not found.runs:
        enough = found.half_width <= found.half_width_wanted
        yield "nothing is lacking" if enough else "no run within the FLOPs would help"
        return
    yield "next, by what narrows it most per FLOP (seeds of their own each):"
    for (size, budgets, trunk, why), same in list(_alike(found).items())[:SHOWN]:
        where = f"branches of trunk {trunk}" if trunk else f"{'trunk' if len(budgets) > 1 else 'run'}"
        at = ", ".join(
            f"{number(c)} FLOPs ({number(d)} tokens)"
            for c, d in zip(budgets, same[0][0].n_tokens, strict=True)
        )
        share = sum(part for _, part in same)
        count, flops = sum(r.seeds for r, _ in same), sum(r.flops for r, _ in same)
        yield (
            f"  {count} x {where} of N {number(size)} at {at}: {number(flops)} FLOPs, "
            f"{share:.0%} of the narrowing{'' if why == MOST else '; ' + why}"
        )
    if len(_alike(found)) > SHOWN:
        yield f"  and {len(_alike(found)) - SHOWN} kinds more (--json has all, one by one)"
    yield (
        f"together {number(found.flops)} FLOPs: half-width {width(found.half_width)} -> "
        f"{width(found.half_width_after)}"
    )
    if found.flops_to_target and found.half_width_after > found.half_width_wanted:
        yield f"to reach {width(found.half_width_wanted)}: about {number(found.flops_to_target)} FLOPs more"


Kind = tuple[float, tuple[float, ...], str | None, str]


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
