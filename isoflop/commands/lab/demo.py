"""isoflop lab demo"""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.printing import wrapped

SEEDS = 2
INTERRUPTED = 130
DEFAULT_OUT = Path("outputs") / "lab-demo"


@dataclass(frozen=True)
class Demo:
    """Plays a class of ten scripted students on a lab of this machine, from the first run to the grades.

    They call a real server over HTTP, on a free port of the loopback address: one tunes and runs IsoFLOPs,
    one believes Kaplan, one runs only sizes beyond the optimum, one is late, ... Nothing is trained: losses
    come from a law of each student's own. It takes about a minute on two cores; then the class report is
    there.
    """

    out: Path | None = None
    """Folder of the lab and, in `grades`, of the report; outputs/lab-demo, or the next free name, unless
    given."""


def run(argv: list[str]) -> int:
    """Plays the class, and grades it."""
    out = parse(Demo, argv, "lab demo").out or _free(DEFAULT_OUT)
    try:
        report = _play_and_grade(out)
    except KeyboardInterrupt as stopped:
        print(f"stopped: server, workers and students have ended; their lab is in {out}", file=sys.stderr)
        return stopped.args[0] if stopped.args else INTERRUPTED
    print(wrapped(f"the class report: {report}; serve the lab itself with isoflop lab serve {out}"))
    if _at_a_desk():
        import webbrowser

        webbrowser.open(report.absolute().as_uri())
    return 0


def _play_and_grade(out: Path) -> Path:
    """The class report of a class that played in a new lab."""
    from isoflop.commands.jax_setup import set_up_jax
    from isoflop.commands.lab.grade import grade_and_report
    from isoflop.labs.demo.play import play_class
    from isoflop.labs.grading.finals import jobs_to_run, run_finals
    from isoflop.labs.store.opening import open_store

    set_up_jax()
    lab = play_class(out, lambda line: print(line, flush=True))
    store = open_store(lab, None)
    print(f"the finals: {SEEDS} seeds of each submission at the target", flush=True)
    with store.read() as connection:
        jobs = jobs_to_run(connection, lab.settings, SEEDS)
    run_finals(lab, store, jobs, 1, lambda job, outcome: None)
    print("grading, and fitting each student's runs by three methods ...", flush=True)
    grade_and_report(lab, store, out / "grades")
    store.close()
    return out / "grades" / "class.html"


def _free(folder: Path) -> Path:
    """The folder, or the first of its numbered names, that no earlier demo has taken."""
    names = itertools.chain([folder], (folder.with_name(f"{folder.name}-{k}") for k in itertools.count(2)))
    try:
        return next(name for name in names if not name.exists())
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None


def _at_a_desk() -> bool:
    """Whether someone at a terminal has a display to show a page on."""
    display = sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return sys.stdout.isatty() and display
