"""The small version that trains: both ways to a wide interval, on real text, in a few minutes of two cores.

The noise of one seed decides either's cost here: read the simulations for the ratio, this for whether they
resemble what training does.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.analysis import find_law, load_runs
from isoflop.analysis.compute import per_token
from isoflop.analysis.design.estimate import Estimate, FinishedRuns, estimate
from isoflop.analysis.design.targets import parse_target
from isoflop.analysis.uncertainty.resampling import trunks_of
from isoflop.running import plan
from isoflop.sweeps.grids.adaptive import Adaptive
from isoflop.sweeps.grids.config import Rates, SweepConfig, load_config
from isoflop.sweeps.launchers import load_launcher
from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.run import run_sweep

OPTIONS = Adaptive(half_width=0.06, max_flops=1e13)
MOST_GRIDS = 8


def config() -> SweepConfig:
    """A tenth of the demo: five budgets from 1e10 FLOPs, the demo's own rate, nothing tuned or checked."""
    return replace(
        load_config("cpu-demo"),
        name="grid-cost",
        budgets=(1e10, 1.8e10, 3.2e10, 5.6e10, 1e11),
        ladder=(8, 16, 24, 32, 40, 48),
        centre_width=16,
        centre_budget=1e10,
        rates=Rates(coefficient=0.0025, exponent=0.0),
        seeds=1,
        checks=False,
        keep="trunks",
        trackers=("jsonl",),
    )


def run_real() -> dict[str, Any]:
    """FLOPs, half-width and exponent of either way; `cost_ratio_real` where both reached the width."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"classical": _classical(Path(folder)), "adaptive": _adaptive(Path(folder))}
    results: dict[str, Any] = {
        f"{arm}_{name}": v for arm, facts in found.items() for name, v in facts.items()
    }
    both = all(facts["half_width"] <= OPTIONS.half_width for facts in found.values())
    results["cost_ratio_real"] = found["adaptive"]["flops"] / found["classical"]["flops"] if both else None
    return results


def _classical(folder: Path) -> dict[str, float]:
    """Whole grids of fresh cosine runs, until the interval is narrow enough."""
    done: list[Path] = []
    while True:
        fresh = config().with_options(schedule="cosine", seed=len(done))
        out = folder / f"classical-{len(done)}"
        done.append(run_sweep(plan(fresh), out, load_launcher("local"), Reporter()))
        found = _known(done)
        if found.half_width <= OPTIONS.half_width or len(done) == MOST_GRIDS:
            return _facts(done, found)


def _adaptive(folder: Path) -> dict[str, float]:
    launcher, out = load_launcher("local"), folder / "adaptive"
    done = run_sweep(plan(config()), out, launcher, Reporter(), adaptive=OPTIONS)
    return _facts([done], _known([done]))


def _known(folders: list[Path]) -> Estimate:
    """The target from the folders' runs, at the level of a look."""
    table = load_runs(folders)
    trunk_R = trunks_of(table)
    own_R = np.arange(len(table)) if trunk_R is None else trunk_R
    ends = np.array([config().budgets[0], config().budgets[-1]])
    runs = FinishedRuns(table.N_R, table.D_R, table.loss_R, own_R)
    target, law = parse_target(OPTIONS.target), find_law(OPTIONS.law)
    return estimate(runs, law, target, per_token(table), ends, OPTIONS.level_at_a_look)


def _facts(folders: list[Path], found: Estimate) -> dict[str, float]:
    spent = [json.loads((folder / "summary.json").read_text())["flops"]["total"] for folder in folders]
    return {
        "flops": float(sum(spent)),
        "half_width": found.half_width,
        "exponent": found.value,
        "runs": float(len(load_runs(folders))),
        "trunk_sd": found.noise.trunk_sd,
        "run_sd": found.noise.run_sd,
    }
