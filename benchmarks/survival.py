"""What survival costs: a worker with claims, heartbeats, checksums and saves, against a bare loop.

    python -m benchmarks.survival [--json] [--small]

One cell of the demo's, in turn each way, on one core: `overhead` is the worker's time over that of the peer,
less one. The peer trains the cell in one go and evaluates it; the worker trains its trunk, saves, restores,
branches off, evaluates and files. `notice_seconds`: from a worker's SIGKILL until another has taken over its
task on the same machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.timing import is_small, print_results
from isoflop.running import plan
from isoflop.sweeps.grids.config import Rates, load_config
from isoflop.sweeps.launchers.local import open_launcher
from isoflop.sweeps.plan import Plan
from isoflop.sweeps.queue.board import Board, publish
from isoflop.sweeps.queue.heartbeats import HeartbeatWriter
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.stage import Snapshot, complete_stage
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.sweeps.workers.worker import Worker
from isoflop.train import device
from isoflop.train.loop import evaluate, run_segment
from isoflop.train.spec import Segment

WIDTH, BUDGET = 24, 1e10 if is_small() else 1.6e11
REPEATS = 1 if is_small() else 6
KILLS = 3
"""Sweeps, at most, until one killed worker's task was seen taken over."""


def main() -> None:
    """Prints the overhead and the time to notice."""
    config = replace(
        load_config("cpu-demo"),
        name="survival",
        budgets=(BUDGET,),
        ladder=(WIDTH,),
        sizes=1,
        centre_width=WIDTH,
        rates=Rates(0.0025, 0.0),
        seeds=1,
        checks=False,
        data="synthetic:zipf" if is_small() else "wiki-intro",
    )
    planned = plan(config)
    results = {"notice_seconds": _notice(planned)}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    device.set_up()
    _bare(planned)  # compiles
    times = [[_timed(way, planned) for way in (_bare, _worker)] for _ in range(REPEATS)]
    wall, cpu = np.min(times, axis=0).T
    results |= {
        "bare_seconds": float(wall[0]),
        "worker_seconds": float(wall[1]),
        "overhead": float(wall[1] / wall[0] - 1),
        "overhead_cpu": float(cpu[1] / cpu[0] - 1),
    }
    print_results(results)


def _timed(work: Callable[[Plan], None], planned: Plan) -> tuple[float, float]:
    """Wall and processor seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    work(planned)
    return time.perf_counter() - began, time.process_time() - cpu


def _bare(planned: Plan) -> None:
    cell = planned.grid[0].cell
    whole = Segment(cell.recipe, 0, cell.steps, cell.steps, None)
    evaluate(cell, run_segment(whole, planned.corpus, None).state, planned.corpus)


def _worker(planned: Plan) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, process, options = Store(Path(folder)), ProcessIdentity.own(), WorkerOptions()
        publish(_board(planned), store)
        heartbeats = HeartbeatWriter(store.path / "workers", process, options.lease_seconds / 12)
        heartbeats.start()
        Worker(store, process, heartbeats, device.find_device(options.execution), options, lambda: False).run(
            idle_seconds=0
        )
        heartbeats.stop()


def _board(planned: Plan) -> Board:
    cells = {p.cell.cell_id: p.cell for p in planned.grid}
    return Board("all", planned.tree(planned.grid), cells, "trunks", str(planned.corpus.folder))


def _notice(planned: Plan) -> float:
    """Seconds from a kill to the take-over."""
    for _ in range(KILLS):
        times = _kill_one(planned)
        if len(times) == 2:
            return times[1] - times[0]
    raise SystemExit(f"benchmarks.survival: {KILLS} cells were over before their worker could be killed")


def _kill_one(planned: Plan) -> list[float]:
    """The moments at which a worker was killed and its task taken over, as far as they were seen."""
    times: list[float] = []

    def on_snapshot(snapshot: Snapshot) -> None:
        # By the claim: the first heartbeat that says `training` may come when a fast machine's cell is over.
        holders = {claim.worker for claim in snapshot.claims}
        claimed = [h.process.pid for h in snapshot.heartbeats if h.process.name in holders]
        if not times and claimed:
            os.kill(claimed[0], signal.SIGKILL)
            times.append(time.monotonic())
        elif len(times) == 1 and any(claim.epoch == 2 for claim in snapshot.claims):
            times.append(time.monotonic())
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        stopped = contextlib.suppress(KeyboardInterrupt)
        with stopped, contextlib.closing(open_launcher(store, WorkerOptions())) as launcher:
            complete_stage(_board(planned), store, launcher, on_snapshot=on_snapshot)
    return times


if __name__ == "__main__":
    main()
