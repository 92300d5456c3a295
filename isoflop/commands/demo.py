"""isoflop demo"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isoflop.arguments import parse
from isoflop.commands.sweep import SweepArguments, train_and_report


@dataclass(frozen=True)
class Demo:
    """Trains the CPU demo's grid on real text, fits it, and draws the report.

    It takes 4 to 14 minutes on two cores. Interrupt it at will: run again, it goes on where it was.
    """

    out: Path | None = None
    """Folder of the sweep; outputs/cpu-demo unless given."""


def run(argv: list[str]) -> int:
    """Sweep and report of `sweeps/configs/cpu_demo.py`."""
    from isoflop.sweeps.grids.config import load_config

    arguments = parse(Demo, argv, "demo")
    config = load_config("cpu-demo")
    return train_and_report(SweepArguments("cpu-demo", config, out=arguments.out), config)
