"""isoflop evaluate"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from isoflop.arguments import JsonFlag, parse
from isoflop.base.errors import UserError
from isoflop.commands.jax_setup import set_up_jax
from isoflop.printing import print_result
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution, Platform

if TYPE_CHECKING:
    from isoflop.evals.measurement import Measurement


@dataclass(frozen=True)
class Evaluate:
    """Measures the models that a sweep kept: a table evals/NAME.csv in its folder, a row or more a model.

    Interrupted, the same command goes on where it stopped. Further options are the measurement's own:
    isoflop evaluate DIR NAME --help shows them.
    """

    folder: tyro.conf.Positional[Path]
    """The sweep's folder; the sweep must have run with --keep all."""
    name: tyro.conf.Positional[str]
    """A measurement in evals/ by name (this command alone lists them), or a .py file of your own."""
    table: str = ""
    """Another name for the table, so that it stands beside one of other options."""
    launcher: str = ""
    """Who measures, if not this process: a file in sweeps/launchers (local, slurm, ray), or a .py file of
    your own."""
    launcher_options: str = ""
    """What the launcher asks of a cluster: key=value,... or a .toml file; see docs/clusters.md."""
    workers: int | None = None
    """Workers at the same time, at most; without --launcher on this machine."""
    platform: Platform = "auto"
    """Where workers measure: auto takes an accelerator where JAX sees one."""
    lease_seconds: float = WorkerOptions.lease_seconds
    """A worker silent for so long is taken for dead, and its model is given to others."""
    hang_seconds: float = WorkerOptions.hang_seconds
    """A worker that is at one model for so long is ended."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Measures, and says where the table is."""
    from isoflop.running import evaluate

    measurement = _measurement(argv)
    asked: Any = parse(_arguments(measurement) if measurement else Evaluate, argv, "evaluate")
    assert measurement, "help ends the command"
    set_up_jax()
    shown = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
    )  # fmt: skip
    with shown:
        task = shown.add_task(f"measure {measurement.name}", total=None)
        found = evaluate(
            asked.folder,
            asked.name,
            asked.options,
            table=asked.table,
            launcher=asked.launcher,
            launcher_options=asked.launcher_options,
            workers=asked.workers,
            worker_options=WorkerOptions(
                Execution(platform=asked.platform),
                lease_seconds=asked.lease_seconds,
                hang_seconds=asked.hang_seconds,
            ),
            say=lambda line: shown.console.print(f"warning: {line}", soft_wrap=True, markup=False),
            on_model=lambda done, total: shown.update(task, completed=done, total=total),
        )
    lines = [
        f"{found.measurement}: {found.models} models, {found.measured} of them measured now; "
        f"{found.rows} rows in {found.table}",
        *_next_step(measurement, found.table),
    ]
    print_result(found, asked.as_json, lines, soft_wrap=True)
    return 0


def _arguments(measurement: Measurement) -> type[Any]:
    """The command's arguments with those of a measurement."""
    own: Any = Annotated[measurement.options, tyro.conf.arg(name="")]  # pyright: ignore[reportInvalidTypeForm]  # known when it runs
    arguments = dataclasses.make_dataclass(
        "Evaluate", [("options", own, measurement.options())], bases=(Evaluate,), frozen=True
    )
    arguments.__doc__ = Evaluate.__doc__
    return arguments


def _measurement(argv: list[str]) -> Measurement | None:
    """The measurement that is asked for; None where help is, and none is named."""
    words = [word for word in argv[:2] if not word.startswith("-")]
    if len(words) < 2 and ("-h" in argv or "--help" in argv):
        return None
    from isoflop.evals.measurement import load_measurement, measurements  # with JAX, which help waits for

    if len(words) < 2:
        raise UserError(
            f"isoflop evaluate DIR NAME: which measurement? Known are {', '.join(measurements())}; or name a "
            ".py file of your own"
        )
    return load_measurement(words[1])


def _next_step(measurement: Measurement, table: Path) -> list[str]:
    """The command that fits the measurement's law, if it has one."""
    if not measurement.fit_options:
        return []
    return [f"its law: isoflop fit {table} {' '.join(measurement.fit_options)}"]
