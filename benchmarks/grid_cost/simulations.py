"""Many simulated sweeps of every arm in every world, and what they say about cost and coverage."""

from __future__ import annotations

import math
import multiprocessing
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.grid_cost.arms import ARMS, Stop, simulate, true_value
from benchmarks.grid_cost.world import World, worlds
from benchmarks.timing import is_small
from isoflop.analysis.design.targets import parse_target

CHUNK = 10
"""Simulations in one task of a process."""


def targets(world: World) -> dict[str, float]:
    """Half-widths wanted, by target: the exponent's, and N_opt's at 100 times the largest budget."""
    wider = 5 if is_small() else 1
    return {"a": 0.02 * wider, f"n_opt@{100 * world.config.budgets[-1]:g}": 0.10 * wider}


def run_simulations(
    simulations: int, workers: int, names: Sequence[str], arms: Sequence[str] = ARMS
) -> dict[str, Any]:
    """These arms, the peer among them, in every world and for every target; the ratios of the first world's
    stand at the top."""
    known = worlds()
    tasks = [
        (name, arm, target, width, range(first, min(first + CHUNK, simulations)))
        for name in names
        for target, width in targets(known[name]).items()
        for arm in arms
        for first in range(0, simulations, CHUNK)
    ]
    stops: dict[tuple[str, str, str], list[Stop]] = {}
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, (key, found) in enumerate(pool.imap_unordered(_task, tasks), 1):
            stops.setdefault(key, []).extend(found)
            if sys.stderr.isatty():
                print(
                    f"\r{done}/{len(tasks)} tasks, {time.monotonic() - began:.0f} s", end="", file=sys.stderr
                )
    results: dict[str, Any] = {"simulations": simulations, "worlds": {}}
    for name in names:
        results["worlds"][name] = {
            target: _compared({arm: stops[name, target, arm] for arm in arms}, width, known[name], target)
            for target, width in targets(known[name]).items()
        }
    if "shared, adaptive" not in arms:
        return results
    first = results["worlds"][names[0]]
    for target, short in zip(first, ("exponent", "n_opt"), strict=True):
        results[f"cost_ratio_{short}"] = first[target]["shared, adaptive"]["cost_ratio"]
    results["cost_ratio"] = max(results["cost_ratio_exponent"], results["cost_ratio_n_opt"])
    return results


def _task(task: tuple[str, str, str, float, range]) -> tuple[tuple[str, str, str], list[Stop]]:
    name, arm, target, width, seeds = task
    world = worlds()[name]
    return (name, target, arm), [simulate(world, arm, target, width, seed) for seed in seeds]


def _compared(stops: dict[str, list[Stop]], width: float, world: World, target: str) -> dict[str, Any]:
    peer = float(np.mean([s.flops for s in stops["classical"]]))
    found: dict[str, Any] = {"truth": true_value(world, parse_target(target)), "half_width_wanted": width}
    for arm, mine in stops.items():
        flops = np.array([s.flops for s in mine])
        held, noticed = (float(np.mean([getattr(s, name) for s in mine])) for name in ("held", "noticed"))
        found[arm] = {
            "flops": float(flops.mean()),
            "flops_sd": float(flops.std()),
            "cost_ratio": float(flops.mean()) / peer,
            "coverage": held,
            "coverage_se": math.sqrt(held * (1 - held) / len(mine)),
            "half_width": float(np.mean([s.half_width for s in mine])),
            "bias": float(np.mean([s.miss for s in mine])),
            "sd": float(np.std([s.miss for s in mine])),
            "misfit_noticed": noticed,
            "rounds": float(np.mean([s.rounds for s in mine])),
            "cells": float(np.mean([s.cells for s in mine])),
        }
    return found
