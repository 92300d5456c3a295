"""isoflop compare"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table

from isoflop import analysis
from isoflop.analysis.options import FitOptions
from isoflop.arguments import JsonFlag, parse
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.commands.fit_text import competition_lines
from isoflop.commands.jax_setup import set_up_jax
from isoflop.commands.law_inputs import given_inputs
from isoflop.commands.table_options import TableOptions
from isoflop.printing import print_result, wrapped

if TYPE_CHECKING:
    from isoflop.analysis import Comparison, LawFit, RunTable
    from isoflop.analysis.comparison.multiplier import ComputeMultiplier


MOST_ROWS = 10
"""Of a table on a terminal."""


@dataclass(frozen=True)
class Compare(TableOptions):
    """Two sweeps: how many times the FLOPs the second needs for the loss of the first, over compute. Two
    families of one sweep: the same, with --by. Two architectures by fitted or published laws: the same at one
    --budget. One table alone: every law, on the largest budget held out."""

    first: tyro.conf.Positional[str]
    """A table of runs, a sweep's folder, a fit.json, or with --budget published constants by name."""
    second: tyro.conf.Positional[str] = ""
    """Another, of another recipe on the same text; or none."""
    by: str | None = None
    """A column of the first table: each of its values against the first one, as in --by mlp."""
    approach: Literal[2, 3] = 3
    """Whose frontier: 3 the fitted law's, 2 the curve through the IsoFLOP minima."""
    law: str = "chinchilla"
    """The law of approach 3: its name, or the path of a .py file of your own."""
    budget: float | None = None
    """Training FLOPs that each of two laws spends on its own best N and D, as in isoflop compare krajewski
    chinchilla:krajewski-dense --budget 1e21 --with G=8. Without a second law: the first at its defaults."""
    with_: Annotated[tuple[str, ...], tyro.conf.arg(name="with")] = ()
    """With --budget, values of what the first law needs besides N and D, by symbol: --with G=8 (isoflop laws
    NAME has them)."""
    tokens: float | None = None
    """With --budget, D, held: for laws without a best one."""
    out: Path | None = None
    """Folder for compare.html and the figure as PNG and PDF."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints the multiplier and both fits, or how the laws fare on one table."""
    asked = parse(Compare, argv, "compare")
    if asked.budget is not None:
        return _at_budget(asked, asked.budget)
    if asked.with_ or asked.tokens is not None:
        raise UserError("--with and --tokens are for laws at one budget: give --budget, such as 1e21")
    set_up_jax()
    options = FitOptions(approach=asked.approach, law=asked.law)
    if asked.by and asked.second:
        raise UserError("--by is for one table: name one, or drop it")
    if asked.by:
        return _show(_families(asked, options), asked)
    if not asked.second:
        return _laws(asked, options)
    items = [_open(name, asked) for name in (asked.first, asked.second)]
    if asked.given and not any(isinstance(item, analysis.RunTable) for item in items):
        raise UserError(f"{asked.given[0]} is for tables: both are fits already")
    names = asked.first, asked.second
    return _show((analysis.compare(*items, options=options, names=names),), asked)


def _at_budget(asked: Compare, flops: float) -> int:
    if asked.by or asked.out or asked.given:
        raise UserError("--budget compares laws: drop --by, --out and the options of tables")
    found = analysis.compare_at_equal_flops(
        asked.first, flops, asked.second or None, given=given_inputs(asked.with_), tokens=asked.tokens
    )
    print_result(found, asked.as_json, [found.summary().text(MOST_ROWS)], soft_wrap=True)
    return 0


def _open(name: str, options: TableOptions) -> RunTable | LawFit:
    return analysis.read_fit(name) if analysis.holds_a_fit(name) else options.load(name)


def _families(asked: Compare, options: FitOptions) -> tuple[Comparison, ...]:
    return analysis.compare_families(asked.load(asked.first), asked.by or "", options)


def _laws(asked: Compare, options: FitOptions) -> int:
    """Every law on one table, the largest budget held out."""
    if asked.out:
        raise UserError("--out is for two sweeps, or --by: isoflop report draws how laws fare on one table")
    table = _open(asked.first, asked)
    if not isinstance(table, analysis.RunTable):
        raise UserError(f"{asked.first} is one fit: name another beside it, or a table to compare laws on")
    found = analysis.compete(table, options)
    if asked.as_json:
        print(json.dumps(found.to_json()))
    else:
        print("\n".join(competition_lines(found)))
    for warning in table.warnings:
        print(wrapped(f"warning: {warning}"), file=sys.stderr)
    return 0


def _show(comparisons: tuple[Comparison, ...], asked: Compare) -> int:
    page = analysis.write_comparisons(comparisons, asked.out) if asked.out else None
    if asked.by and asked.as_json:
        print(json.dumps({"by": asked.by, "comparisons": [each.to_json() for each in comparisons]}))
    else:
        for each in comparisons:
            print_result(each, asked.as_json, _lines(each), soft_wrap=True)
    if page and not asked.as_json:
        print(f"page: {page}")
    return 0


def _lines(comparison: Comparison) -> Iterator[RenderableType]:
    yield f"A: {comparison.names[0]}\nB: {comparison.names[1]}\n"
    if comparison.multiplier:
        yield wrapped(f"{comparison.multiplier.verdict}.")
        yield _multiplier_table(comparison.multiplier)
    else:
        yield wrapped(f"no compute multiplier: {comparison.no_multiplier}") + "\n"
    shown = comparison.summary()
    yield _table(shown.headers, shown.rows)


def _multiplier_table(found: ComputeMultiplier) -> Table:
    rows = [
        (
            brief(p.flops), f"{p.multiplier:.3g}", interval(p.interval, "{:.3g}".format), brief(p.loss_a),
            f"{p.difference:+.4f}", interval(p.difference_interval, "{:+.3f}".format),
        )
        for p in found.shown
    ]  # fmt: skip
    return _table(("A's FLOPs", "B's over A's", "", f"A's {found.quantity}", "B - A", ""), rows)


def _table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(*headers, box=SIMPLE, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*row)
    return table
