"""isoflop lab: one file an action, each with `run(argv)`."""

from __future__ import annotations

import importlib
import importlib.util

from isoflop.base.errors import UserError

ACTIONS = {
    "init": "makes a lab: its rules, its students, their keys",
    "demo": "a class of ten scripted students, from the first run to the grades",
    "serve": "serves it until it is stopped",
    "estimate": "what a training config costs",
    "data": "a student's runs as a run table, for isoflop fit",
    "finals": "runs the final submissions at the target, after the freeze",
    "grade": "the final submissions against the truth: a table and a page of the class",
    "build": "the course's notebooks, executed, and without answers",
    "freeze": "sets the deadline",
    "refund": "gives seconds back, or more of them",
    "verify": "whether the ledger explains every second",
}
NEEDED = ("fastapi", "uvicorn", "sqlalchemy")
NEEDED_BY_ACTION = {"build": ("jupytext", "nbformat", "nbclient", "ipykernel")}
"""Where an action needs others than the server does."""


def run(argv: list[str]) -> int:
    """Runs one action."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0
    action, rest = argv[0], argv[1:]
    if action not in ACTIONS:
        raise UserError(f"unknown action {action!r}: known are {', '.join(ACTIONS)}; see isoflop lab --help")
    needed = NEEDED_BY_ACTION.get(action, NEEDED)
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"isoflop lab needs {', '.join(missing)}: pip install 'isoflop[lab]' (a clone: '.[lab]')"
        )
    return importlib.import_module(f"isoflop.commands.lab.{action}").run(rest) or 0


def _usage() -> str:
    lines = "\n".join(f"  {name:<9} {what}" for name, what in ACTIONS.items())
    return (
        "usage: isoflop lab ACTION ...\n\n"
        "A course's scaling-law lab on your own machine: students submit training runs against a budget,\n"
        f"and predict a larger run's loss.\n\n{lines}\n\n`isoflop lab ACTION --help` explains its options."
    )
