"""An accelerator's half hour in one command; docs/accelerators.md says what each part answers.

    python -m benchmarks.accelerator --out DIR [--part 1 | 2 | 3] [--seconds S] [--small] [--json]

Rows are appended to the tables of DIR as they come, and DIR/README.md is written anew from its tables at the
end of each part. No part needs a network, and none stops at a measurement that fails: its row says why.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.accelerator import correctness, ladder, speed
from benchmarks.accelerator.part import Part
from benchmarks.accelerator.readme import describe, write_readme
from isoflop.commands.jax_setup import set_up_jax

PARTS: dict[int, tuple[Callable[[Part, str], None], float]] = {
    1: (correctness.measure, 540.0),
    2: (speed.measure, 540.0),
    3: (ladder.measure, 540.0),
}
"""Each part with the seconds that it plans by."""
SMALL_SECONDS = 1800.0
"""Of a part that proves only that it runs: enough for any machine, so that nothing is left out."""


def main() -> None:
    """Measures the parts asked for."""
    options = _options()
    set_up_jax()  # its memory is the measurements'
    if options.out is None:
        with tempfile.TemporaryDirectory() as folder:
            results = _measure(options, Path(folder))
    else:
        results = _measure(options, options.out)
    if options.json:
        print(json.dumps(results))
    else:
        print("\n".join(f"{name:<36} {value}" for name, value in results.items()))


def _measure(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """What came of each part: rows in its tables, and how many of them have no number."""
    out.mkdir(parents=True, exist_ok=True)
    for number in options.part:
        measure, seconds = PARTS[number]
        deadline = time.monotonic() + (options.seconds or (SMALL_SECONDS if options.small else seconds))
        part = Part(out, deadline, options.small, options.torch_python)
        try:
            measure(part, describe(part))
        finally:
            write_readme(out)
    return write_readme(out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder of the tables; without it they are only counted")
    parser.add_argument(
        "--part",
        type=int,
        choices=(0, *PARTS),
        nargs="+",
        default=list(PARTS),
        help="parts to measure, all by default; 0: only write the README of the tables that are there",
    )
    parser.add_argument("--seconds", type=float, help="what each part may take; 540 by default")
    parser.add_argument("--torch-python", help="the interpreter that has torch, if not this one")
    parser.add_argument("--small", action="store_true", help="on a CPU, proves only that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    options.part = [number for number in options.part if number]
    return options


if __name__ == "__main__":
    main()
