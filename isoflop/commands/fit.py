"""isoflop fit"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.progress import Progress

from isoflop import analysis
from isoflop.analysis.options import FitOptions
from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.commands.fit_text import fit_lines
from isoflop.commands.jax_setup import set_up_jax
from isoflop.commands.table_options import TableOptions
from isoflop.printing import print_result

if TYPE_CHECKING:
    from isoflop.analysis import RunTable
    from isoflop.analysis.result import Coverage
    from isoflop.analysis.rolling_scores import Rolling

NOT_TRUSTED = 3
Repeated = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
"""An option of one value that may be given several times."""


@dataclass(frozen=True)
class Fit(TableOptions, FitOptions):
    """Fits a scaling law to a table of runs, and says how sure it is."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Tables (CSV, TSV, JSON, JSON Lines, Parquet), sweeps, wandb:entity/project, public:NAME,
    measured:NAME; pooled."""
    fix: Repeated = dataclasses.field(default=(), kw_only=True)
    """Hold parameters at values: --fix E=1.6; several with commas or by repeating the option."""
    tie: Repeated = dataclasses.field(default=(), kw_only=True)
    """Hold parameters equal: --tie alpha=beta."""
    share: Repeated = dataclasses.field(default=(), kw_only=True)
    """A joint fit over the groups of --by: these parameters are common to all groups, as in --share
    alpha,beta --by dataset; the others are each group's own."""
    check_coverage: Flag = False
    """Simulate tables like this one from the fit, and count how often their intervals hold the truth."""
    simulations: int = 200
    """Tables that --check-coverage simulates."""
    compete: Flag = False
    """Fit every law below --holdout (else the largest budget) and score it above, beside baselines."""
    rolling: Flag = False
    """Fit below a growing cut in compute, predict what lies above: error and coverage against distance."""
    curves: Flag = False
    """The paths are whole loss curves: isoflop fit --curves --help has its options."""
    strict: Flag = False
    """Exit with status 3 where the fit is not certified or not identified."""
    as_json: JsonFlag = False
    out: Path | None = None
    """Also write fit.json into this folder."""


def run(argv: list[str]) -> int:
    """Fits, prints, and marks a doubtful fit."""
    if "--curves" in argv:
        from isoflop.commands import fit_curves  # other options, and another result

        return fit_curves.run(argv)
    arguments = parse(Fit, argv, "fit")
    set_up_jax()
    table = arguments.load(arguments.runs, arguments.law)
    options = FitOptions.among(arguments)
    for further in ("check_coverage", "compete", "rolling"):
        if getattr(arguments, further):  # before the fit, which would be lost
            options.refuse_share(f"--{further.replace('_', '-')}")
    fitted = analysis.fit(table, options)
    if arguments.check_coverage:
        fitted = dataclasses.replace(fitted, coverage=_coverage(table, options, arguments.simulations))
    if arguments.compete:
        fitted = dataclasses.replace(fitted, competition=analysis.compete(table, options))
    if arguments.rolling:
        fitted = dataclasses.replace(fitted, rolling=_rolling(table, options))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "fit.json").write_text(json.dumps(fitted.to_json(), indent=1) + "\n")
    print_result(fitted, arguments.as_json, fit_lines(fitted), soft_wrap=True)
    return NOT_TRUSTED if arguments.strict and not fitted.trusted else 0


def _coverage(table: RunTable, options: FitOptions, simulations: int) -> Coverage:
    with _progress("checking coverage") as update:
        return analysis.check_coverage(table, options, simulations, update)


def _rolling(table: RunTable, options: FitOptions) -> Rolling:
    with _progress("rolling hold-outs") as update:
        return analysis.rolling(table, options, update)


@contextlib.contextmanager
def _progress(label: str) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal's stderr; what it gives is called with the share done."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda share: bar.update(task, completed=share)
