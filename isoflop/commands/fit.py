"""isoflop fit"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import Progress

from isoflop import analysis
from isoflop.arguments import parse
from isoflop.commands.fit_text import fit_lines
from isoflop.commands.objective_options import ObjectiveOptions
from isoflop.commands.table_options import TableOptions

if TYPE_CHECKING:
    from isoflop.analysis import FitOptions, LawFit, RunTable
    from isoflop.analysis.result import Coverage

NOT_TRUSTED = 3


@dataclass(frozen=True)
class Fit(ObjectiveOptions, TableOptions):
    """Fits a scaling law to a table of runs, and says how sure it is."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Tables (CSV, TSV, JSON, JSON Lines, Parquet), sweeps, wandb:entity/project, public:NAME; pooled."""
    approach: Literal[1, 2, 3] = 3
    """Of Hoffmann et al. (2022): 1 envelope, 2 IsoFLOP parabolas, 3 parametric law."""
    curve: Literal["parabola", "akima", "argmin"] = "parabola"
    """Of approach 2: through each budget's runs; argmin takes the run of least loss."""
    minima_weights: Literal["equal", "precision"] = "equal"
    """Of approach 2: how the minima count in the power laws; precision: by 1 / variance of log N_opt."""
    bootstrap: int = 1000
    """Resamples for the intervals; 0: none."""
    resample: Literal["auto", "runs", "budgets", "trunks", "residuals"] = "auto"
    """What the bootstrap of approach 3 draws; auto: by trunk where trunks are shared, else by run."""
    intervals: Literal["bootstrap", "profile"] = "bootstrap"
    """profile: where the objective rises past a threshold calibrated by simulation (approach 3)."""
    profile_at: float | None = None
    """FLOPs at which profiles give N_opt and the loss there; the largest budget unless given."""
    level: float = 0.95
    """Coverage the intervals aim at."""
    check_coverage: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Simulate tables like this one from the fit, and count how often their intervals hold the truth."""
    simulations: int = 200
    """Tables that --check-coverage simulates."""
    seed: int = 0
    """Of the resampling."""
    holdout: float | None = None
    """Fit the runs below this many FLOPs, score those at or above."""
    compete: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fit every law below --holdout (else the largest budget) and score it above, beside baselines."""
    strict: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Exit with status 3 where the fit is not certified or not identified."""
    as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object and nothing else."""
    out: Path | None = None
    """Also write fit.json into this folder."""

    def options(self) -> FitOptions:
        """What the fitter is asked for."""
        names = (field.name for field in dataclasses.fields(analysis.FitOptions))
        return analysis.FitOptions(**{name: getattr(self, name) for name in names if hasattr(self, name)})


def run(argv: list[str]) -> int:
    """Fits, prints, and marks a doubtful fit."""
    arguments = parse(Fit, argv, "fit")
    table = arguments.load(arguments.runs)
    fitted = analysis.fit(table, arguments.options())
    if arguments.check_coverage:
        fitted = dataclasses.replace(fitted, coverage=_coverage(table, arguments))
    if arguments.compete:
        found = analysis.compete(table, arguments.options())
        fitted = dataclasses.replace(fitted, competition=found)
    text = json.dumps(fitted.to_json(), indent=None if arguments.as_json else 1)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "fit.json").write_text(text + "\n")
    if arguments.as_json:
        print(text)
    else:
        _print(fitted)
    for warning in fitted.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return NOT_TRUSTED if arguments.strict and not fitted.trusted else 0


def _coverage(table: RunTable, arguments: Fit) -> Coverage:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking coverage", total=1.0)
        return analysis.check_coverage(
            table, arguments.options(), arguments.simulations, lambda share: bar.update(task, completed=share)
        )


def _print(fitted: LawFit) -> None:
    console = Console(highlight=False)
    for line in fit_lines(fitted):
        console.print(line, soft_wrap=True)
