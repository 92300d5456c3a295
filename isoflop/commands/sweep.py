"""isoflop sweep"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.commands.fit_text import wrapped
from isoflop.sweeps.caps import Caps
from isoflop.sweeps.grids.config import SweepConfig, config_names, load_config
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution

if TYPE_CHECKING:
    from isoflop.sweeps.progress.console import Reporter

EXECUTION_OPTIONS = tuple(
    f"--{f.name.replace('_', '-')}"
    for f in (*dataclasses.fields(Execution), *dataclasses.fields(WorkerOptions))
    if f.type not in ("bool", "Execution")
)
EXECUTION_FLAGS = ("--profile",)
EXECUTION_USAGE = "[--platform P] [--devices N] [--members M] [--remat R] [--profile] ..."

OPTIONS = (
    *("--launcher", "--launcher-options", "--out", "--target", "--half-width"),
    *("--max-flops", "--max-hours"),
)
FLAGS = ("--no-report", "--adaptive")
USAGE = (
    "[--out DIR] [--no-report] [--launcher NAME] [--launcher-options O] [--max-flops F] [--max-hours H] "
    "[--adaptive [--target T] [--half-width W]]"
)


@dataclass(frozen=True)
class Where:
    """Where a sweep runs and what it leaves."""

    launcher: str = "local"
    """Who trains: a file in sweeps/launchers, or a .py file of your own."""
    launcher_options: str = ""
    """What the launcher asks of a cluster: key=value,... or a .toml file; see docs/clusters.md."""
    out: Path | None = None
    """Folder of the sweep; outputs/NAME unless given, with what differs from CONFIG: outputs/NAME-seed-1."""
    no_report: bool = False
    """Stop after training."""
    adaptive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Choose cells and seeds on the way, until the target's interval is narrow enough: docs/adaptive.md."""
    target: str = "a"
    """Of an adaptive sweep: a, b, n_opt@FLOPS or loss@FLOPS."""
    half_width: float = 0.02
    """Of the target's 95% interval, at which an adaptive sweep stops; --max-flops stops it before."""
    caps: Annotated[Caps, tyro.conf.arg(name="")] = Caps()
    worker_options: Annotated[WorkerOptions, tyro.conf.arg(name=""), tyro.conf.OmitArgPrefixes] = (
        WorkerOptions()
    )


def run(argv: list[str]) -> int:
    """Trains a sweep, then fits it and draws its report."""
    name, rest = take_config(argv, "sweep", f"{USAGE} {EXECUTION_USAGE} [overrides]")
    ours, overrides = split_options(rest, (*OPTIONS, *EXECUTION_OPTIONS), (*FLAGS, *EXECUTION_FLAGS))
    where = parse(Where, ours, "sweep")
    if not where.adaptive and (where.target, where.half_width) != (Where.target, Where.half_width):
        raise UserError("--target and --half-width are an adaptive sweep's: say --adaptive too, or drop them")
    if where.adaptive and where.caps.max_hours is not None:
        raise UserError("--max-hours prices a fixed grid: an adaptive sweep is capped by --max-flops")
    base = load_config(name)
    return run_config(parse(SweepConfig, overrides, f"sweep {name}", default=base), where, base)


def run_config(config: SweepConfig, where: Where, base: SweepConfig) -> int:
    """Trains a config, `base` with some fields replaced, and draws its report, telling a person of it."""
    from isoflop.running import sweep
    from isoflop.sweeps.grids.adaptive import Adaptive
    from isoflop.sweeps.output_folder import default_folder
    from isoflop.sweeps.progress.background_sync import BackgroundSync
    from isoflop.sweeps.progress.console import Reporter
    from isoflop.sweeps.progress.summary import summary_lines
    from isoflop.sweeps.queue.store import Store

    stay_off_the_accelerator()
    reporter = Reporter()
    began = time.monotonic()
    caps, options = where.caps, where.launcher_options
    chosen = Adaptive(where.target, where.half_width, caps.max_flops) if where.adaptive else None
    caps = dataclasses.replace(caps, max_flops=None) if chosen else caps
    out = where.out or default_folder(config, base, chosen)
    folder = sweep(config, out, where.launcher, reporter, where.worker_options, caps, options, chosen)
    for line in summary_lines(folder):
        reporter.say(line)
    if not where.no_report:
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


def stay_off_the_accelerator() -> None:
    """Keeps this process' JAX on the CPU: its workers have the accelerator."""
    import jax

    jax.config.update("jax_platforms", "cpu")


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


def take_config(argv: list[str], command: str, options: str) -> tuple[str, list[str]]:
    """The config's name and the rest; help and a missing name are answered here."""
    known = ", ".join(config_names())
    if argv and argv[0] in ("-h", "--help"):
        fields = "\n".join(f"  --{f.name.replace('_', '-')}" for f in dataclasses.fields(SweepConfig))
        print(
            f"usage: isoflop {command} CONFIG {options}\n\nCONFIG is one of {known}, or a .py file that "
            "defines SWEEP.\nOverrides replace fields of the config, as in --budgets 1e11 2e11 --seed 1:\n\n"
            f"{fields}\n\n`isoflop {command} CONFIG --help` explains each and shows the config's values."
        )
        raise SystemExit(0)
    if not argv or argv[0].startswith("-"):
        raise UserError(
            f"isoflop {command} CONFIG: which one? Known are {known}; or name a .py file of your own"
        )
    return argv[0], argv[1:]


def split_options(
    argv: list[str], valued: tuple[str, ...], flags: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """The options of the command itself, and those left: the config's overrides."""
    own: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word in flags or (word.split("=")[0] in valued and "=" in word):
            own.append(word)
        elif word in valued:
            own += [word, *[value for value in [next(words, None)] if value is not None]]
        else:
            rest.append(word)
    return own, rest
