"""isoflop sweep"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

from isoflop.arguments import Flag, parse
from isoflop.base.errors import UserError
from isoflop.commands.jax_setup import set_up_jax
from isoflop.printing import wrapped
from isoflop.sweeps.caps import Caps
from isoflop.sweeps.grids.config import SweepConfig, config_names, load_config
from isoflop.sweeps.workers.options import WorkerOptions

if TYPE_CHECKING:
    from isoflop.sweeps.progress.console import Reporter

A = TypeVar("A", bound="ConfigArguments")


@dataclass(frozen=True)
class ConfigArguments:
    """A config, by its name, with what is replaced in it, and the machine that it is for."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CONFIG")]
    """A sweep in sweeps/configs by name (this command alone lists them), or a .py file of your own that
    defines SWEEP. Its values are the defaults below."""
    config: Annotated[SweepConfig, tyro.conf.arg(name="")]
    worker_options: Annotated[WorkerOptions, tyro.conf.arg(name="")] = WorkerOptions()


@dataclass(frozen=True)
class SweepArguments(ConfigArguments):
    """Trains a sweep, fits it and draws its report; interrupted, the same command goes on where it stopped.

    Options replace fields of CONFIG, as in --budgets 1e11 2e11 --seed 1.
    """

    launcher: str = "local"
    """Who trains: a file in sweeps/launchers, or a .py file of your own."""
    launcher_options: str = ""
    """What the launcher asks of a cluster: key=value,... or a .toml file; see docs/clusters.md."""
    out: Path | None = None
    """Folder of the sweep; outputs/NAME unless given, with what differs from CONFIG: outputs/NAME-seed-1."""
    no_report: Flag = False
    """Stop after training."""
    adaptive: Flag = False
    """Choose cells and seeds on the way, until the target's interval is narrow enough: docs/adaptive.md."""
    target: str = "a"
    """What an adaptive sweep is to know: a, b, n_opt@FLOPS or loss@FLOPS."""
    half_width: float = 0.02
    """Half of the target's 95% interval at which an adaptive sweep stops; --max-flops stops it before."""
    caps: Annotated[Caps, tyro.conf.arg(name="")] = Caps()


def run(argv: list[str]) -> int:
    """Trains a sweep, then fits it and draws its report."""
    asked = parse_with_config(SweepArguments, argv, "sweep")
    if not asked.adaptive and (asked.target, asked.half_width) != (
        SweepArguments.target,
        SweepArguments.half_width,
    ):
        raise UserError("--target and --half-width are an adaptive sweep's: say --adaptive too, or drop them")
    if asked.adaptive and asked.caps.max_hours is not None:
        raise UserError("--max-hours prices a fixed grid: an adaptive sweep is capped by --max-flops")
    return train_and_report(asked, load_config(asked.name))


def parse_with_config(cls: type[A], argv: list[str], command: str) -> A:
    """The arguments, whose defaults are those of the config that is named first."""
    names = config_names()
    name = next(iter(argv), "-")
    if name in ("-h", "--help"):
        name = names[0]  # whose values the help then shows
    elif name.startswith("-"):
        known = ", ".join(names)
        raise UserError(
            f"isoflop {command} CONFIG: which one? Known are {known}; or name a .py file of your own"
        )
    return parse(cls, argv, command, default=cls(name, load_config(name)))


def train_and_report(asked: SweepArguments, base: SweepConfig) -> int:
    """Trains a config, `base` with some fields replaced, and draws its report, telling a person of it."""
    from isoflop.running import sweep
    from isoflop.sweeps.grids.adaptive import Adaptive
    from isoflop.sweeps.output_folder import default_folder
    from isoflop.sweeps.progress.background_sync import BackgroundSync
    from isoflop.sweeps.progress.console import Reporter
    from isoflop.sweeps.progress.summary import summary_lines
    from isoflop.sweeps.queue.store import Store

    set_up_jax()
    reporter = Reporter()
    began = time.monotonic()
    config, caps = asked.config, asked.caps
    chosen = Adaptive(asked.target, asked.half_width, caps.max_flops) if asked.adaptive else None
    folder = sweep(
        config,
        asked.out or default_folder(config, base, chosen),
        asked.launcher,
        reporter,
        asked.worker_options,
        dataclasses.replace(caps, max_flops=None) if chosen else caps,
        asked.launcher_options,
        chosen,
    )
    for line in summary_lines(folder):
        reporter.say(line)
    if not asked.no_report:
        with reporter.stage("fit and draw the report"):
            headline, page = draw_report(folder)
            with contextlib.closing(
                BackgroundSync(config.trackers, config.name, Store(folder), reporter)
            ) as sync:
                sync.finish()
        _file_stages(folder, reporter)
        print(f"\n{wrapped(headline)}\n\nreport: {page}")
    reporter.say(f"done in {time.monotonic() - began:.0f} s; the folder is {folder}")
    return 0


def draw_report(folder: Path) -> tuple[str, Path]:
    """The report's headline and where its page is."""
    from isoflop.analysis import report

    drawn = report(folder)
    return drawn.headline, drawn.html


def _file_stages(folder: Path, reporter: Reporter) -> None:
    """Add the report's time to the sweep's summary."""
    from isoflop.sweeps.progress.summary import StageSeconds, read_summary, write_summary
    from isoflop.sweeps.queue.store import Store

    store = Store(folder)
    stages = tuple(StageSeconds(*stage) for stage in reporter.seconds)
    write_summary(store, dataclasses.replace(read_summary(store), stages=stages))
