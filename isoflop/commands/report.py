"""isoflop report"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from isoflop import analysis
from isoflop.arguments import Flag, parse
from isoflop.commands.jax_setup import set_up_jax
from isoflop.commands.table_options import TableOptions
from isoflop.printing import wrapped


@dataclass(frozen=True)
class Report(TableOptions):
    """Draws the figures (PNG and PDF) and one self-contained report.html."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Tables (CSV, TSV, JSON, JSON Lines, Parquet), sweep folders, wandb:entity/project, public:NAME,
    measured:NAME."""
    out: Path | None = None
    """Folder to write to; the sweep's own, or outputs/NAME for NAME.csv, unless given."""
    every_law: Flag = False
    """Let every law compete on the largest budget, not only the most usual ones: half a minute more."""
    rolling: Flag = False
    """With rolling hold-outs: errors and coverage of intervals against the distance of what is predicted."""


def run(argv: list[str]) -> int:
    """Draws, and prints the headline."""
    arguments = parse(Report, argv, "report")
    set_up_jax()
    laws = analysis.rivals() if arguments.every_law else None
    table = arguments.load(arguments.runs)
    drawn = analysis.report(table, arguments.out, laws=laws, rolling=arguments.rolling)
    print(f"{wrapped(drawn.headline)}\n\nreport: {drawn.html}")
    for warning in drawn.fit.warnings:
        print(wrapped(f"warning: {warning}"), file=sys.stderr)
    return 0
