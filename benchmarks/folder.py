"""A sweep's folder at scale: 100,000 cells, and many processes that take tasks from it.

    python -m benchmarks.folder [--json] [--small] [--budgets B]

Seconds to plan, to price, to publish and read the board, to look at the folder half-way, to build the run
table and to load 50,000 results, checksums and all. `claims_per_second`: of PROCESSES processes that take and
release tasks of one folder as fast as they can, each standing for some tens of workers.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.timing import is_small
from isoflop.base.durable import MANIFEST, new_folder
from isoflop.base.json_values import to_json
from isoflop.models.config import ModelOptions
from isoflop.running import plan
from isoflop.sweeps.grids.config import Rates, SweepConfig
from isoflop.sweeps.plan import Plan
from isoflop.sweeps.progress.run_table import CellRows
from isoflop.sweeps.progress.status import read_status
from isoflop.sweeps.progress.table_files import to_csv
from isoflop.sweeps.queue import board as boards
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.claims import Claims
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.stage import take_snapshot
from isoflop.train.result import CellResult, unfinished

SIZES = 20
PROCESSES, TAKES = (2, 30) if is_small() else (16, 300)
RACER = """
import sys, time
from pathlib import Path
from isoflop.sweeps.queue.claims import Claims
claims = Claims(Path(sys.argv[1]), sys.argv[2])
began, got = time.monotonic(), 0
for task in range(int(sys.argv[3])):
    claim = claims.take(str(task))
    if claim:
        got += 1
        claims.release(claim)
print(got)
"""


def main() -> None:
    """Prints what it all takes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--small", action="store_true", help="50 budgets: proves only that it runs")
    parser.add_argument("--budgets", type=int, default=50 if is_small() else 5000)
    asked = parser.parse_args()
    results: dict[str, Any] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        value = work()
        results[f"{name}_seconds"] = time.perf_counter() - began
        return value

    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), config(asked.budgets), timed)
        results["claims_per_second"] = _claims(Path(folder) / "claims")
    results["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if asked.json:
        print(json.dumps(results))
    else:
        for name, value in results.items():
            print(f"{name:<28} {value:.4g}")


def config(budgets: int) -> SweepConfig:
    """So many budgets by twenty sizes."""
    return SweepConfig(
        name="scale",
        title="A folder of many cells",
        budgets=tuple(float(f"{1e14 * 1.004**i:.8g}") for i in range(budgets)),
        ladder=tuple(range(8, 8 + 8 * max(budgets // 5, 2 * SIZES), 8)),
        sizes=SIZES,
        centre_width=64,
        centre_budget=1e14,
        rates=Rates(0.01),
        data="synthetic:zipf",
        model=ModelOptions(context_length=32),
        seeds=1,
        checks=False,
        checkpoint_steps=10**15,
        max_epochs=1e9,
        trackers=(),
    )


def _measure(folder: Path, config: SweepConfig, timed: Callable[[str, Callable[[], Any]], Any]) -> None:
    planned: Plan = timed("plan", lambda: plan(config))
    timed("price", planned.price)
    store = Store.open(folder / "sweep", config)
    tree = planned.tree(planned.grid)
    cells = {p.cell.cell_id: p.cell for p in planned.grid}
    board = Board("all", tree, cells, "none", "")
    timed("publish", lambda: boards.publish(board, store))
    timed("read_board", lambda: boards.read(store, board.name))
    with patch("os.fsync", lambda descriptor: None):  # made by nobody who would miss them after a power cut
        _half_done(store, planned)
    timed("look", lambda: take_snapshot(board, store))
    table = timed("table", lambda: CellRows("scale", planned.grid, tree, store, planned.corpus))
    timed("load_results", lambda: table.update(store.contents()))
    store.write_text("runs.csv", timed("csv", lambda: to_csv(table.rows)))
    timed("status", lambda: read_status(store.path))


def _half_done(store: Store, planned: Plan) -> None:
    """Every second cell has a result, and its segments are filed."""
    draw = np.random.default_rng(0)
    (store.path / "segments").mkdir()
    for number, planned_cell in enumerate(planned.grid[::2]):
        cell = planned_cell.cell
        result: CellResult = unfinished(cell, planned.corpus, "finished", "")
        with new_folder(store.cell(cell.cell_id)) as scratch:
            value = {"cell": to_json(cell), "result": to_json(result) | {"loss": float(draw.uniform(2, 4))}}
            (scratch / "cell.json").write_text(json.dumps(value, indent=1))
        if number % 100 == 0:
            assert (store.cell(cell.cell_id) / MANIFEST).exists()


def _claims(folder: Path) -> float:
    began = time.monotonic()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(folder), f"w{i}", str(TAKES)], stdout=subprocess.PIPE, text=True
        )
        for i in range(PROCESSES)
    ]
    got = sum(int(racer.communicate()[0]) for racer in racers)
    assert not Claims(folder, "").standing()
    return got / (time.monotonic() - began)


if __name__ == "__main__":
    main()
