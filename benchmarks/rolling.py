"""Rolling hold-outs of our own tables and of every public one: do the stated intervals hold?

    python -m benchmarks.rolling [--out docs/results/rolling] [--porian isoflop_points.csv] [--only NAME]
        [--small] [--json]

Writes `tables.csv`, a row a table, and `bands.csv`, a row a table and a band of distance, by the names of
`DistanceBand`. The public tables are fetched once (`public:NAME`). Porian et al.'s lie in pickles, which are
not read here: `--porian` takes them unpacked, a CSV with the columns flops, N, D, loss, dataset, hparams,
warmup, decay, param_count and val. A table passes if 95% intervals hold 85% of its runs, and of its minima
where it has them. A small run is of the demo's three smallest budgets, into outputs/rolling.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.timing import is_small
from isoflop.analysis import FitOptions, Rolling, RunTable, load_runs, rolling, table_of
from isoflop.analysis.options import FEWEST_RESAMPLES
from isoflop.analysis.rolling_scores import LEAST_COVERAGE

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "docs" / "results" / "cpu-demo" / "runs.csv"
LADDER = ROOT / "docs" / "results" / "cpu-ladder" / "runs.csv"
GADRE = ("c4_original", "rpj", "rw_original")
PORIAN = ["dataset", "hparams", "warmup", "decay", "param_count", "val"]
"""What tells one of Porian et al.'s grids from another."""


RESULTS = ROOT / ("outputs" if is_small() else "docs/results") / "rolling"


def main() -> None:
    """Rolls over every table and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--porian", type=Path)
    parser.add_argument("--only", default="", help="tables whose names hold this")
    parser.add_argument("--small", action="store_true", help="one cut of one table: proves only that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    tables, bands = [], []
    chosen = [small_table()] if asked.small else every_table(asked.porian, asked.only)
    for name, table, law in chosen:
        options = FitOptions(law=law, bootstrap=FEWEST_RESAMPLES if asked.small else FitOptions().bootstrap)
        found = rolling(table, options)
        bands.append(found.to_frame().reset_index().assign(table=name, law=law))
        tables.append(summary(name, table, found))
        told = f"{found.summary().title} {name} {tables[-1]['runs_inside']} {tables[-1]['minima_inside']}"
        print(told, file=sys.stderr)
        pd.DataFrame(tables).to_csv(asked.out / "tables.csv", index=False, float_format="%.4g")
        every = pd.concat(bands, ignore_index=True)
        every.set_index(["table", "law", "band"]).to_csv(asked.out / "bands.csv", float_format="%.4g")
    if asked.json:
        print(json.dumps({"tables": tables}))
    else:
        print(pd.DataFrame(tables).to_string(index=False))


def small_table() -> tuple[str, RunTable, str]:
    """The demo's three smallest budgets: one cut."""
    runs = load_runs(DEMO)
    third = sorted(set(runs.frame["budget"]))[2]
    return "cpu-demo", runs.where(runs.frame["budget"].to_numpy() <= third), "chinchilla"


def every_table(porian: Path | None, only: str) -> Iterator[tuple[str, RunTable, str]]:
    """Name, runs and law of each; the larger tables, which take longer, last."""
    named: dict[str, tuple[str | Path, str | None, str]] = {"cpu-demo": (DEMO, None, "chinchilla")}
    for law in ("chinchilla", "skaling"):
        named[f"cpu-ladder {law}"] = (LADDER, None, law)
    for text in GADRE:
        named[f"public:gadre {text}"] = ("public:gadre", f"dataset={text}", "chinchilla")
    for law in ("chinchilla", "muennighoff"):
        named[f"public:datablations {law}"] = ("public:datablations", None, law)
    named["public:chinchilla"] = ("public:chinchilla", None, "chinchilla")
    for name, (source, where, law) in named.items():
        if only in name:
            yield name, load_runs(source, where=where), law
    if porian is not None:
        for _, grid in pd.read_csv(porian).dropna(subset=["loss"]).groupby(PORIAN):
            name = f"porian {' '.join(map(str, grid[PORIAN].iloc[0]))}"
            if only in name:
                flops = grid["flops"]
                columns = {"n_params": grid["N"], "n_tokens": grid["D"], "flops": flops, "budget": flops}
                yield name, table_of(pd.DataFrame({**columns, "loss": grid["loss"]})), "chinchilla"


def summary(name: str, table: RunTable, found: Rolling) -> dict[str, object]:
    """The whole of a table in a row."""
    whole = found.all
    held = [share for share in (whole.coverage, whole.loss_coverage) if share is not None]
    return {
        "table": name,
        "law": found.law,
        "runs": len(table),
        "cuts": len(found.cuts),
        "furthest": max(run.flops / cut.c_fitted for cut in found.cuts for run in cut.runs),
        "predictions": whole.runs,
        "mean_abs_error": whole.mean_abs_error,
        "half_width": whole.half_width,
        "runs_inside": whole.coverage,
        "minima": whole.minima,
        "minimum_error": whole.minimum_error,
        "minima_inside": whole.loss_coverage,
        "sizes_inside": whole.size_coverage,
        "passes": min(held) >= LEAST_COVERAGE,
    }


if __name__ == "__main__":
    main()
