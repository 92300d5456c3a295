"""Runs the simulations, or with `--real` the small CPU version, and prints what they cost."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from benchmarks.grid_cost.arms import ARMS
from benchmarks.grid_cost.simulations import run_simulations
from benchmarks.grid_cost.world import worlds
from benchmarks.timing import is_small

COLUMNS = (9, 6, 15, 7, 8, 7, 6, 6)
"""Their widths in print."""


def main() -> None:
    """Prints a table, or one JSON object."""
    options = _options()
    if options.real:
        from benchmarks.grid_cost.real import run_real

        results = run_real()
    else:
        results = run_simulations(
            options.simulations, options.workers, options.worlds, (ARMS[0], *options.arms)
        )
    if options.json:
        print(json.dumps(results))
    else:
        _print(results)


def _options() -> argparse.Namespace:
    known = list(worlds())
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid_cost", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--small",
        action="store_true",
        help="one simulation of one arm, to wide intervals: proves only that it runs",
    )
    parser.add_argument(
        "--simulations",
        type=int,
        default=1 if is_small() else 200,
        help="sweeps simulated of each arm and target",
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--worlds", nargs="+", choices=known, default=known[:1] if is_small() else known)
    parser.add_argument(
        "--arms",
        nargs="*",
        choices=ARMS[1:],
        default=ARMS[-1:] if is_small() else ARMS[1:],
        help="what the classical grid is compared to",
    )
    parser.add_argument("--real", action="store_true", help="train a small version on this CPU instead")
    return parser.parse_args()


def _print(results: dict[str, Any]) -> None:
    for name, compared in results.get("worlds", {}).items():
        for target, found in compared.items():
            print(
                f"\n{name}: {target}, truth {found['truth']:.4g}, half-width {found['half_width_wanted']:g}"
            )
            names = ("FLOPs", "ratio", "coverage", "width", "bias", "doubted", "rounds", "cells")
            print(" " * 18 + " ".join(f"{name:>{w}}" for name, w in zip(names, COLUMNS, strict=True)))
            for arm in (arm for arm in ARMS if arm in found):
                row = found[arm]
                print(
                    f"  {arm:<16} {row['flops']:>9.3g} {row['cost_ratio']:>6.2f} {row['coverage']:>7.3f} "
                    f"+-{row['coverage_se']:.3f} {row['half_width']:>7.4f} {row['bias']:>+8.4f} "
                    f"{row['misfit_noticed']:>7.2f} {row['rounds']:>6.1f} {row['cells']:>6.0f}"
                )
    for name, value in results.items():
        if name != "worlds":
            print(f"{name:<36} {value:.4g}" if isinstance(value, float) else f"{name:<36} {value}")


if __name__ == "__main__":
    main()
