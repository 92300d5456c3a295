"""A certified fit of 240 runs with 4,000 bootstraps, against how it is usually done.

    python -m benchmarks.fit [--json] [--small]

The whole of `isoflop fit TABLE --bootstrap 4000 --json` in a process of its own, import and compilation
included. Peers on the same table, in CPU-seconds on the same machine in the same run:

- `scipy_recipe`: the recipe of Besiroglu et al. (2024) and of most published fits, written out below:
  L-BFGS-B by finite differences from the 4,500 points of Hoffmann et al.'s grid (appendix D.3), then 4,000
  bootstraps by BFGS from the optimum. A sample of each is run, and scaled.
- `chinchilla_package`: the PyPI package of that name on the grid of its own example, 5^5 starts (a sample,
  scaled), without any bootstrap. Null where it is not installed: `make bench` installs it.
- `vpnls_2_digits`, `vpnls_3_digits`: Open-Athena/vpnls, variable projection on a grid of the exponents to so
  many digits, Huber's loss, without any bootstrap and without a verdict on the optimum. Null where it is not
  installed: pip install it from its repository.

`ratio_*`: the peer's CPU-seconds over ours.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from benchmarks.timing import is_small, print_results

RUNS, NOISE = 240, 0.01
BOOTSTRAPS = 100 if is_small() else 4000
TRUTH = (1.8172, 482.01, 0.3478, 2085.43, 0.3658)
"""E, A, alpha, B, beta of Besiroglu et al. (2024), table 1."""
GRID = {
    "e": np.linspace(-1, 1, 5),
    "a": np.linspace(0, 25, 6),
    "b": np.linspace(0, 25, 6),
    "alpha": np.linspace(0, 2, 5),
    "beta": np.linspace(0, 2, 5),
}
"""Hoffmann et al. (2022), appendix D.3."""
SAMPLED_STARTS, SAMPLED_BOOTSTRAPS = (4, 1) if is_small() else (40, 8)
EXAMPLE = {
    "E": np.linspace(1, 2, 5),
    "a": np.linspace(1, 10, 5),
    "b": np.linspace(1, 10, 5),
    "alpha": np.linspace(0.1, 0.7, 5),
    "beta": np.linspace(0.1, 0.7, 5),
}
"""The grid of the `chinchilla` package's first example."""


VPNLS = {"vpnls_2_digits": 0.01, "vpnls_3_digits": 0.001}
"""Spacing of the grid of exponents."""


def main() -> None:
    """Times all and prints the ratios; with `--package` or `--vpnls`, is that peer's process."""
    for option, peer in (("--package", _package), ("--vpnls", _vpnls)):
        if option in sys.argv:
            peer(Path(sys.argv[-1]))
            return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        frame = simulated()
        frame.to_csv(path, index=False)
        results = _ours(path)
        results |= _scipy(frame, results.pop("objective"))
        results |= _of_package(path)
        results |= _of_vpnls(path)
    ours = results["cpu_seconds"]
    for peer in ("scipy_recipe", "chinchilla_package", *VPNLS):
        seconds = results[f"{peer}_cpu_seconds"]
        results[f"ratio_{peer}"] = None if seconds is None else seconds / ours
    print_results(results)


def simulated() -> pd.DataFrame:
    """A table with the range of Hoffmann et al.'s runs, log-normal noise."""
    rng = np.random.default_rng(0)
    N = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), RUNS))
    D = np.exp(rng.uniform(np.log(1e9), np.log(3e11), RUNS))
    E, A, alpha, B, beta = TRUTH
    loss = (E + A / N**alpha + B / D**beta) * np.exp(NOISE * rng.standard_normal(RUNS))
    return pd.DataFrame({"n_params": N, "n_tokens": D, "loss": loss})


def _ours(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "isoflop", "fit", str(path), "--bootstrap", str(BOOTSTRAPS), "--json"]
    cpu, wall, output = _measured(command)
    fit = json.loads(output)
    certificate = fit["certificate"]
    return {
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "runs": fit["n_runs"],
        "bootstraps": BOOTSTRAPS,
        "status": certificate["status"],
        "starts": certificate["starts"],
        "starts_at_optimum": certificate["starts_at_optimum"],
        "objective": fit["objective"]["value"],
    }


def _scipy(frame: pd.DataFrame, best: float) -> dict[str, Any]:
    """The recipe's CPU-seconds, scaled from a sample, and its share of starts at our objective."""
    rng = np.random.default_rng(1)
    data = [np.log(frame[name].to_numpy()) for name in ("n_params", "n_tokens", "loss")]
    starts = np.array(list(itertools.product(*GRID.values())))
    sample = starts[rng.choice(len(starts), SAMPLED_STARTS, replace=False)]
    began = time.process_time()
    ends = [minimize(huber_sum, x, args=tuple(data), method="L-BFGS-B") for x in sample]
    per_start = (time.process_time() - began) / SAMPLED_STARTS
    found = np.array([end.fun for end in ends])
    optimum = ends[int(np.argmin(found))].x
    began = time.process_time()
    for _ in range(SAMPLED_BOOTSTRAPS):
        rows = rng.integers(0, RUNS, RUNS)
        minimize(huber_sum, optimum, args=tuple(x[rows] for x in data), method="BFGS")
    per_bootstrap = (time.process_time() - began) / SAMPLED_BOOTSTRAPS
    return {
        "scipy_recipe_cpu_seconds": per_start * len(starts) + per_bootstrap * BOOTSTRAPS,
        "scipy_recipe_share_of_starts_at_optimum": float(np.mean(found <= best * (1 + 1e-6))),
        "scipy_recipe_best_objective_over_ours": float(found.min() / best),
    }


def huber_sum(x: np.ndarray, log_N: np.ndarray, log_D: np.ndarray, log_loss: np.ndarray) -> float:
    """Hoffmann et al. (2022), equation 10: Huber loss, delta 1e-3, of the log loss, summed over runs."""
    e, a, b, alpha, beta = x
    terms = np.stack([a - alpha * log_N, b - beta * log_D, np.full(len(log_N), e)])
    top = terms.max(axis=0)
    size = np.abs(log_loss - top - np.log(np.exp(terms - top).sum(axis=0)))
    return float(np.where(size <= 1e-3, 0.5 * size**2, 1e-3 * (size - 5e-4)).sum())


def _of_package(path: Path) -> dict[str, Any]:
    if importlib.util.find_spec("chinchilla") is None:
        print("the chinchilla package is not installed: make bench installs it", file=sys.stderr)
        return {"chinchilla_package_cpu_seconds": None}
    command = [sys.executable, "-m", "benchmarks.fit", "--package", str(path)]
    cpu_per_start = float(_measured(command)[2].splitlines()[-1])
    return {"chinchilla_package_cpu_seconds": cpu_per_start * 5**5}


def _package(path: Path) -> None:
    """CPU-seconds of the package's fit for each of 2^5 starts at the ends of its example's grid, printed."""
    from chinchilla import Chinchilla  # pyright: ignore[reportMissingImports]  # of the extra bench

    frame = pd.read_csv(path)
    ends: dict[str, Any] = {name: values[[1, 3]] for name, values in EXAMPLE.items()}
    with tempfile.TemporaryDirectory() as folder:
        peer = Chinchilla(folder, param_grid=ends, log_level=100)
        for N, D, loss in frame.itertuples(index=False):
            peer.database.append(C=6 * N * D, N=N, D=D, loss=loss)
        began = time.process_time()
        peer.fit(parallel=False, simulation=True)
        print((time.process_time() - began) / 2 ** len(ends))


def _of_vpnls(path: Path) -> dict[str, Any]:
    if importlib.util.find_spec("vpnls") is None:
        print("vpnls is not installed: pip install it from github.com/Open-Athena/vpnls", file=sys.stderr)
        return {f"{name}_cpu_seconds": None for name in VPNLS}
    output = _measured([sys.executable, "-m", "benchmarks.fit", "--vpnls", str(path)])[2]
    return json.loads(output.splitlines()[-1])


def _vpnls(path: Path) -> None:
    """CPU-seconds of one fit at each spacing, printed; its import is not counted."""
    from vpnls.api import fit_vpnls, huber  # pyright: ignore[reportMissingImports]  # from its repository

    frame = pd.read_csv(path)
    # In millions and billions, as its own example has them: in single units the amplitudes leave its bounds.
    scales = {"n_params": 1e6, "n_tokens": 1e9, "loss": 1.0}
    data = [frame[name].to_numpy() / scale for name, scale in scales.items()]
    found = {}
    for name, resolution in VPNLS.items():
        began = time.process_time()
        fit_vpnls(*data, resolution=resolution, loss=huber(1e-3))
        found[f"{name}_cpu_seconds"] = time.process_time() - began
    print(json.dumps(found))


def _measured(command: list[str]) -> tuple[float, float, str]:
    """CPU-seconds and seconds of a process and its children, and what it printed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, wall, output


if __name__ == "__main__":
    main()
