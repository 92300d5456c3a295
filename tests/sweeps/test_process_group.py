"""One worker spread over two processes: the first decides and files, both train."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.plan import make_plan
from isoflop.sweeps.progress.run_table import CellRows
from isoflop.sweeps.queue.board import Board, publish
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.data.corpus import Corpus
from isoflop.train.execution import Execution
from tests.support.in_process import Runner
from tests.support.stand_in import wait_until

OPTIONS = WorkerOptions(Execution(devices=2, nodes=2), checkpoint_minutes=0.01)


def start(store: Store) -> list[subprocess.Popen[bytes]]:
    """Both processes, on a port of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    group = {"ISOFLOP_COORDINATOR": address, "ISOFLOP_PROCESSES": "2"}
    with (store.path / "worker.log").open("a") as log:
        return [
            child.start(store.path, OPTIONS, more=group | {"ISOFLOP_PROCESS_ID": str(i)}, log=log)
            for i in range(2)
        ]


def wait_for(store: Store, what: str, count: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """Return once there are so many of a kind of record."""

    def is_there() -> bool:
        assert all(p.poll() is None for p in processes), (store.path / "worker.log").read_text()[-3000:]
        return len(list((store.path / what).glob("[!.]*"))) >= count

    wait_until(is_there, seconds=240)


def leave(processes: list[subprocess.Popen[bytes]]) -> list[int]:
    """Asks them as a scheduler does; their exit codes."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    try:
        return [process.wait(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
def test_two_processes_train_what_one_does_and_go_on_after_leaving(
    run: Runner, narrow: SweepConfig, corpus: Corpus, tmp_path: Path
) -> None:
    narrow = narrow.with_options(budgets=(2e9,), centre_budget=2e9)  # long enough to be left in the middle
    single = run(narrow, tmp_path / "single")
    store = Store.open(tmp_path / "both", narrow)
    plan = make_plan(narrow, corpus)
    tree, cells = plan.tree(plan.grid), {p.cell.cell_id: p.cell for p in plan.grid}
    publish(Board("grid", tree, cells, "none", str(corpus.folder)), store)
    processes = start(store)
    wait_for(store, "partial", 1, processes)
    assert leave(processes) == [0, 0]
    assert not list((store.path / "claims").glob("*/*"))
    left = store.contents()
    assert left.partial
    assert len(left.cells) < len(cells)
    processes = start(store)
    wait_for(store, "cells", len(cells), processes)
    assert leave(processes) == [0, 0]
    table = CellRows("both", plan.grid, tree, store, corpus)
    table.update(store.contents())
    assert [row.status for row in table.rows] == ["finished"]
    for row, alone in zip(table.rows, single, strict=True):
        assert row.loss == pytest.approx(float(alone["loss"]), rel=5e-3)
