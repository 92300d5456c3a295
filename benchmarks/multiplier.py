"""Do the intervals of `isoflop compare` hold? Pairs of tables are simulated from two known laws.

    python -m benchmarks.multiplier [--pairs 30] [--worlds NAME ...] [--workers 2] [--out FOLDER] [--small]
        [--json]

Each table is an IsoFLOP grid on six sizes' trunks under two seeds, with noise of its own of every trunk and
of every run. The multiplier is made by `compare` itself, by approach 3 and by approach 2; `multiplier_held`
and `slope_held` are the shares of pairs whose 95% intervals hold the true multiplier in the middle of the
range and its true slope. Writes OUT/coverage.csv, a row a world and approach, where an --out is given. A
small run is of one pair in one world.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from benchmarks.timing import is_small
from isoflop.analysis import FitOptions, compare, find_law, table_of
from isoflop.analysis.comparison.multiplier import ComputeMultiplier
from isoflop.analysis.compute import SixN
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FEWEST_RESAMPLES
from isoflop.analysis.result import optimal_size
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.errors import UserError

LADDER = np.geomspace(1e3, 1e7, 26)
"""Sizes, parameters: a factor of 1.45 apart."""
LOWEST, HIGHEST = 1e11, 1e13
"""Budgets, FLOPs."""
PLAIN = (1.54, 285.0, 0.74, 594.0, 0.57), (1.50, 213.75, 0.70, 445.5, 0.54)
"""E, A, alpha, B and beta of both recipes, near what the demo measured: B overtakes A within the budgets."""
SOFT = (1.3, 285.0, 0.74, 594.0, 0.57), (1.27, 228.0, 0.71, 475.2, 0.55)
"""The same of a law whose two terms are raised to `World.k`."""
OPTIONS = FitOptions(bootstrap=FEWEST_RESAMPLES if is_small() else 200, starts=16 if is_small() else 64)


@dataclass(frozen=True)
class World:
    """Two true laws and the grids that are trained of them. `k`: 1, or the exponent of the law `skaling`;
    `noise`: standard deviation in log loss, of a trunk and of a run each."""

    laws: tuple[tuple[float, ...], tuple[float, ...]] = PLAIN
    k: float = 1.0
    budgets: int = 5
    sizes: int = 6
    seeds: int = 2
    noise: float = 0.004


WORLDS = {
    "the law is right": World(),
    "it is wrong": World(SOFT, k=0.6),
    "twice the noise": World(noise=0.008),
    "few runs": World(budgets=4, sizes=5, seeds=1),
}


@dataclass(frozen=True)
class Outcome:
    """One pair's multiplier in the middle of the range, its logarithm, and the slope, against the truth."""

    multiplier_held: bool
    slope_held: bool
    multiplier_width: float
    """Of the interval in log multiplier; infinite where a side is open."""
    slope_width: float
    multiplier_error: float
    slope_error: float


def truth(world: World, which: int) -> tuple[Any, np.ndarray]:
    """A recipe's law and its parameters."""
    E, A, alpha, B, beta = world.laws[which]
    k = world.k
    if k == 1:
        return find_law("chinchilla"), np.array([E, A, alpha, B, beta])
    return find_law("skaling"), np.array([E, A ** (1 / k), alpha / k, B ** (1 / k), beta / k, k])


def table(world: World, which: int, seed: int) -> pd.DataFrame:
    """A recipe's run table. Runs of one size and seed share a trunk, and with it part of their noise."""
    law, params = truth(world, which)
    draw = np.random.default_rng([seed, which])
    C_G = np.geomspace(LOWEST, HIGHEST, world.budgets)
    nearest_G = np.abs(np.log(LADDER) - np.log(optimal_size(law, params, C_G, SixN()))[:, None]).argmin(
        axis=1
    )
    size_GxS = nearest_G[:, None] + np.arange(world.sizes) - world.sizes // 2
    shape = (world.seeds, *size_GxS.shape)
    size_R = np.broadcast_to(size_GxS, shape).ravel()
    C_R = np.broadcast_to(C_G[:, None], shape).ravel()
    seed_R = np.repeat(np.arange(world.seeds), size_GxS.size)
    N_R = LADDER[size_R]
    trunk_R = draw.standard_normal((world.seeds, len(LADDER)))[seed_R, size_R]
    noise_R = world.noise * (trunk_R + draw.standard_normal(len(N_R)))
    loss_R = evaluate(law, params, N_R, C_R / 6 / N_R) * np.exp(noise_R)
    columns = {"n_params": N_R, "n_tokens": C_R / 6 / N_R, "flops": C_R, "budget": C_R, "loss": loss_R}
    return pd.DataFrame(columns).assign(trunk_id=[f"{s}-{n}" for s, n in zip(seed_R, size_R, strict=True)])


def true_log_multiplier(world: World, C_K: np.ndarray) -> np.ndarray:
    """Log of the FLOPs that B needs for A's loss, over A's, at K budgets."""
    C_M = np.geomspace(C_K.min() / 1e3, C_K.max() * 1e3, 4000)
    loss_K, loss_M = (_frontier(world, which, C) for which, C in enumerate((C_K, C_M)))
    return np.interp(-loss_K, -loss_M, np.log(C_M)) - np.log(C_K)


def _frontier(world: World, which: int, C: np.ndarray) -> np.ndarray:
    law, params = truth(world, which)
    N = optimal_size(law, params, C, SixN())
    return np.asarray(evaluate(law, params, N, C / 6 / N))


def outcome(world: World, found: ComputeMultiplier) -> Outcome:
    """What was found against the truth."""
    C_K = np.array([point.flops for point in found.points])
    true_K = true_log_multiplier(world, C_K)
    slope = float(np.polyfit(np.log(C_K), true_K, 1)[0])
    middle = float(true_K[len(true_K) // 2])
    log_interval = (_log(found.middle.interval[0]), _log(found.middle.interval[1]))
    return Outcome(
        multiplier_held=_holds(log_interval, middle),
        slope_held=_holds(found.slope_interval, slope),
        multiplier_width=_width(log_interval),
        slope_width=_width(found.slope_interval),
        multiplier_error=float(np.log(found.middle.multiplier)) - middle,
        slope_error=found.slope - slope,
    )


def _log(end: float | None) -> float | None:
    return None if end is None else float(np.log(end))


def _holds(interval: Interval, value: float) -> bool:
    """An end that is None is open."""
    low, high = interval
    return (low is None or low <= value) and (high is None or value <= high)


def _width(interval: Interval) -> float:
    low, high = interval
    return float("inf") if low is None or high is None else high - low


def one_pair(task: tuple[str, int]) -> list[tuple[str, int, Outcome | None]]:
    """World, approach and outcome of one pair of tables; None where there is no multiplier."""
    name, seed = task
    world = WORLDS[name]
    a, b = (table_of(table(world, which, seed)) for which in (0, 1))
    results = []
    approaches: tuple[Literal[3, 2], ...] = (3, 2)
    for approach in approaches:
        try:
            found = compare(a, b, replace(OPTIONS, approach=approach, seed=seed)).multiplier
        except UserError:  # a budget without a minimum, say
            found = None
        results.append((name, approach, outcome(world, found) if found else None))
    return results


def simulated(pairs: int, names: list[str], workers: int) -> Iterator[tuple[str, int, Outcome | None]]:
    """Every pair of every world, in processes if there are several workers."""
    tasks = [(name, seed) for name in names for seed in range(pairs)]
    if workers == 1:
        every = map(one_pair, tasks)
        yield from (result for results in every for result in results)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from (result for results in pool.imap_unordered(one_pair, tasks) for result in results)


def summary(name: str, approach: int, found: list[Outcome | None]) -> dict[str, Any]:
    """The pairs of one world under one approach in a row: shares, medians of widths, root mean squares of
    errors."""
    outcomes = pd.DataFrame([asdict(each) for each in found if each])
    shared = {"world": name, "approach": approach, "pairs": len(found), "no_multiplier": found.count(None)}
    if outcomes.empty:
        return shared
    errors = outcomes[["multiplier_error", "slope_error"]]
    return (
        shared
        | outcomes[["multiplier_held", "slope_held"]].mean().to_dict()
        | outcomes[["multiplier_width", "slope_width"]].median().to_dict()
        | ((errors**2).mean() ** 0.5).to_dict()
    )


def main() -> None:
    """Prints a table, or one JSON object."""
    known = list(WORLDS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1 if is_small() else 30)
    parser.add_argument("--worlds", nargs="+", choices=known, default=known[:1] if is_small() else known)
    parser.add_argument("--workers", type=int, default=1 if is_small() else len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, help="folder for coverage.csv")
    parser.add_argument("--small", action="store_true", help="one pair: proves only that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    found: dict[tuple[str, int], list[Outcome | None]] = {}
    for name, approach, result in simulated(asked.pairs, asked.worlds, asked.workers):
        found.setdefault((name, approach), []).append(result)
    rows = [summary(name, approach, found[name, approach]) for name in asked.worlds for approach in (3, 2)]
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(asked.out / "coverage.csv", index=False, float_format="%.4g")
    if asked.json:
        print(json.dumps({"worlds": rows}))
    else:
        print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
