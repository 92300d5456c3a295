"""isoflop compare"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro
from rich.box import SIMPLE
from rich.table import Table

from isoflop import analysis
from isoflop.arguments import JsonFlag, parse
from isoflop.base.errors import UserError
from isoflop.commands.table_options import TableOptions
from isoflop.printing import print_result

if TYPE_CHECKING:
    from isoflop.analysis import LawFit, RunTable


@dataclass(frozen=True)
class Compare(TableOptions):
    """Two sweeps, tables or fits side by side; options of the table apply to both."""

    first: tyro.conf.Positional[str]
    """A table of runs, a sweep's folder, or a fit.json."""
    second: tyro.conf.Positional[str]
    """Another."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints parameters and exponents of both."""
    arguments = parse(Compare, argv, "compare")
    first, second = (_open(name, arguments) for name in (arguments.first, arguments.second))
    if arguments.given and not any(isinstance(item, analysis.RunTable) for item in (first, second)):
        raise UserError(f"{arguments.given[0]} is for tables: both are fits already")
    comparison = analysis.compare(first, second)
    shown = comparison.summary()
    table = Table(*shown.headers, box=SIMPLE, padding=(0, 1, 0, 0))
    for row in shown.rows:
        table.add_row(*row)
    lines = (f"first:  {arguments.first}\nsecond: {arguments.second}", table)
    print_result(comparison, arguments.as_json, lines)
    return 0


def _open(name: str, options: TableOptions) -> RunTable | LawFit:
    return analysis.read_fit(name) if analysis.holds_a_fit(name) else options.load(name)
