"""isoflop compare"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from isoflop import analysis
from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.commands.table_options import TableOptions

if TYPE_CHECKING:
    from isoflop.analysis import LawFit, RunTable


@dataclass(frozen=True)
class Compare(TableOptions):
    """Two sweeps, tables or fits side by side; options of the table apply to both."""

    first: tyro.conf.Positional[str]
    """A table of runs, a sweep's folder, or a fit.json."""
    second: tyro.conf.Positional[str]
    """Another."""
    as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object and nothing else."""


def run(argv: list[str]) -> int:
    """Prints parameters and exponents of both."""
    arguments = parse(Compare, argv, "compare")
    first, second = (_open(name, arguments) for name in (arguments.first, arguments.second))
    if arguments.given and not any(isinstance(item, analysis.RunTable) for item in (first, second)):
        raise UserError(f"{arguments.given[0]} is for tables: both are fits already")
    comparison = analysis.compare(first, second)
    if arguments.as_json:
        print(json.dumps(comparison.to_json()))
        return 0
    print(f"first:  {arguments.first}\nsecond: {arguments.second}")
    shown = comparison.summary()
    table = Table(*shown.headers, box=SIMPLE, padding=(0, 1, 0, 0))
    for row in shown.rows:
        table.add_row(*row)
    Console(highlight=False).print(table)
    for warning in comparison.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def _open(name: str, options: TableOptions) -> RunTable | LawFit:
    return analysis.read_fit(name) if analysis.holds_a_fit(name) else options.load(name)
