"""The command line: `isoflop COMMAND ...`."""

from __future__ import annotations

import importlib
import signal
import sys
import traceback

from isoflop.base.provenance import provenance

COMMANDS = {
    "demo": "the CPU sweep on real text, end to end, with the report",
    "data": "datasets and tokenizers: what is on disk, what it costs",
    "plan": "a sweep's grid and its price; trains nothing",
    "sweep": "trains a sweep; run it again to go on",
    "status": "what of a sweep is done, failed or missing",
    "evaluate": "measures the models that a sweep kept: quantization, pruning, context",
    "sync": "sends a sweep to Weights & Biases",
    "fit": "fits a scaling law to a table of runs",
    "laws": "every scaling law: formula, source, constants, what it needs",
    "register": "writes down a forecast for a larger budget, before its runs",
    "score": "registered forecasts against what came of them",
    "predict": "the best size, and its loss, at a budget",
    "forecast": "what a model costs to train and to serve: time, money, energy, memory",
    "serving": "measured times of serving beside the forecast's floor and range",
    "downstream": "a task's score at a budget, in two steps; what samples replace",
    "coverage": "repeated sampling: pass@k, its law in k, how far it goes",
    "compare": "two sweeps: how many times the compute one needs",
    "report": "figures and one self-contained page",
    "lab": "a course's lab: serve it to students, price and grade what they submit",
}

INTERRUPTED = 130


def main() -> None:
    """Runs one command. Exit status: 0; 2 the caller's mistake, in one line; 1 unexpected failure."""
    sys.exit(_run(sys.argv[1:]))


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if argv[0] == "--version":
        print(_version())
        return 0
    command, rest = argv[0], argv[1:]
    if command in ("demo", "plan", "sweep", "evaluate", "lab"):
        for number in (signal.SIGTERM, signal.SIGHUP):  # a scheduler's, a closing terminal's
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, _stop)
    if command not in COMMANDS:
        return _complain(f"unknown command {command!r}: known are {', '.join(COMMANDS)}")
    from isoflop.base.durable import is_full
    from isoflop.base.errors import UserError

    try:
        return importlib.import_module(f"isoflop.commands.{command}").run(rest) or 0
    except UserError as error:
        return _complain(str(error))
    except KeyboardInterrupt as stopped:
        print("stopped; what was finished is kept: run the same command again to go on", file=sys.stderr)
        return stopped.args[0] if stopped.args else INTERRUPTED
    except BrokenPipeError:
        return 0
    except OSError as error:
        if is_full(error):
            return _complain("no disk space left: make room and run the same command again")
        traceback.print_exc()
        return 1
    except Exception:
        traceback.print_exc()
        return 1


def _stop(number: int, _: object) -> None:
    """Ends as Ctrl-C does, with the shell's status of that signal."""
    raise KeyboardInterrupt(128 + number)


def _complain(text: str) -> int:
    print(f"isoflop: {' '.join(text.split())}", file=sys.stderr)
    return 2


def _version() -> str:
    made_by = provenance()
    packages = ", ".join(f"{name} {number}" for name, number in made_by.packages.items() if number)
    return f"isoflop {made_by.version}, Python {made_by.python}, {packages}"


def _usage() -> str:
    lines = "\n".join(f"  {name:<9} {what}" for name, what in COMMANDS.items())
    return (
        "usage: isoflop COMMAND ...\n       isoflop --version\n\n"
        "Small-scale scaling laws: train a grid, draw its IsoFLOP curves, "
        f"fit the law, and say how sure you are.\n\n{lines}\n\n`isoflop COMMAND --help` explains its options."
    )


if __name__ == "__main__":
    main()
