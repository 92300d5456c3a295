"""The first fit of a process, by law: what import, compilation and the search take where nothing is cached.

    python -m benchmarks.first_fit [--laws NAME ...] [--json] [--small]

Every law with published constants is fitted to 100 runs that are simulated from its first set, with 1% of
noise, by `isoflop fit TABLE --law NAME --bootstrap 0` in a process of its own and with an empty compilation
cache. A row a law, the slowest first: CPU-seconds, the certificate, how many starts reached the optimum.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.timing import is_small
from isoflop.analysis import find_law, known_laws
from isoflop.analysis.laws import Law
from isoflop.analysis.laws.evaluate import evaluate

RUNS, NOISE = 100, 0.01
SIZES, TOKENS = (1e8, 1e10), (2e9, 2e11)
"""Ranges of N and D where the source names none."""
SPREAD = 1.4
"""Factor about its default that an input is spread over, where no choices of it are known."""


def main() -> None:
    """Fits each and prints the table."""
    published = [name for name in known_laws() if find_law(name).published]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--laws", nargs="+", choices=published, default=published[:1] if is_small() else published
    )
    parser.add_argument("--small", action="store_true", help="one law: proves only that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    rows = sorted(map(first_fit, asked.laws), key=lambda row: -row["cpu_seconds"])
    if asked.json:
        print(json.dumps({"laws": rows}))
    else:
        print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3g}".format))


def first_fit(name: str) -> dict[str, Any]:
    """The fit of one law in a fresh process: its CPU-seconds and what it found."""
    law = find_law(name)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "runs.csv"
        simulated(law).to_csv(table, index=False)
        command = [
            sys.executable,
            "-m",
            "isoflop",
            "fit",
            str(table),
            "--law",
            name,
            "--bootstrap",
            "0",
            "--json",
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "ISOFLOP_CACHE": folder}, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row: dict[str, Any] = {"law": name, "parameters": len(law.parameters)}
    row["cpu_seconds"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        return row | {"status": done.stderr.strip().splitlines()[-1]}
    certificate = json.loads(done.stdout)["certificate"]
    return row | {"status": certificate["status"], "at_optimum": certificate["starts_at_optimum"]}


def simulated(law: Law) -> pd.DataFrame:
    """Runs of the law's first published set, spread evenly by logarithms over its inputs."""
    rng = np.random.default_rng(0)
    constants = law.published[0]

    def spread(ends: tuple[float, float]) -> np.ndarray:
        return np.exp(rng.uniform(np.log(ends[0]), np.log(ends[1]), RUNS))

    N, D = spread(constants.n_range or SIZES), spread(constants.d_range or TOKENS)
    C = 6 * N * D if law.sized else spread((law.drawn.low, law.drawn.high))
    frame = {"n_params": N, "n_tokens": D, "flops": C}
    for covariate, default in zip(law.covariates, law.fill(N, D, C), strict=True):
        if covariate.column == "flops":
            frame["flops"] = C = default if law.sized else C
        elif covariate.choices:
            frame[covariate.column] = default * rng.choice(covariate.choices, RUNS)
        else:
            frame[covariate.column] = default * spread((1 / SPREAD, SPREAD))
    inputs = [frame[covariate.column] for covariate in law.covariates]
    value = evaluate(law, np.array(constants.params), N, D, *inputs)
    column = "loss" if law.target == "loss" else law.target
    return pd.DataFrame(frame | {column: value * np.exp(NOISE * rng.standard_normal(RUNS))})


if __name__ == "__main__":
    main()
