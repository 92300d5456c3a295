"""The local launcher, with real processes, and how it bears being stopped, killed and failed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from sweeps.config import SweepConfig
from sweeps.execute import Task
from sweeps.launchers import load_launcher
from sweeps.launchers.local import open_launcher
from sweeps.plan import make_plan
from sweeps.store import Store
from sweeps.train_cells import _task
from tests.sweeps.conftest import Runner
from tests.sweeps.tables import read_rows, timeless
from train.corpus import Corpus
from train.execution import Execution

pytestmark = pytest.mark.slow

CONFIG = """
from tests.small import small_sweep
SWEEP = small_sweep({source!r})
"""


@pytest.fixture(scope="module")
def config_file(source_name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small sweep as a file of the user's own."""
    path = tmp_path_factory.mktemp("config") / "mine.py"
    path.write_text(CONFIG.format(source=source_name))
    return path


@pytest.fixture(scope="module")
def reference(corpus: Corpus, config: SweepConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small sweep, trained by the local launcher and never disturbed."""
    out = tmp_path_factory.mktemp("reference") / "out"
    Runner(corpus)(config, out, open_launcher=load_launcher("local"))
    return out


def start(config_file: Path, out: Path, log: IO[str]) -> subprocess.Popen[str]:
    """`isoflop sweep` in a process group of its own."""
    command = [sys.executable, "-m", "isoflop", "sweep", str(config_file), "--out", str(out), "--no-report"]
    return subprocess.Popen(command, start_new_session=True, stderr=log, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def started(config_file: Path, out: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """That process and its stderr's file; ended with all its group when the test is."""
    log = out.with_suffix(".stderr")
    with log.open("w") as file, start(config_file, out, file) as process:
        try:
            yield process, log
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(path: Path, pattern: str, count: int, process: subprocess.Popen[str]) -> None:
    """Returns once the folder holds that many files, or the process has ended."""
    deadline = time.monotonic() + 300
    while len(list(path.glob(pattern))) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_sweep_of_two_budgets_and_three_widths(reference: Path, config: SweepConfig) -> None:
    rows = read_rows(reference)
    assert len(rows) == 8
    assert {row["status"] for row in rows} == {"finished"}
    for role, count in (("grid", 6), ("replicate", 2)):
        assert sum(row["role"] == role for row in rows) == count
    assert all(1 < float(row["loss"]) < 5 for row in rows)
    assert {row["device"] for row in rows} == {"cpu"}


def test_run_again_it_gives_the_launcher_nothing(run: Runner, config: SweepConfig, reference: Path) -> None:
    before = (reference / "runs.csv").read_bytes()
    run(config, reference)
    assert run.given == []
    assert (reference / "runs.csv").read_bytes() == before


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(
    seed: int, config_file: Path, reference: Path, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    out = tmp_path / "out"
    with started(config_file, out) as (process, _):
        wait_for(out, "segments/*/segment.json", draw.randint(0, 8), process)
        time.sleep(draw.uniform(0, 1.5))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    with started(config_file, out) as (process, log):
        assert process.wait(timeout=300) == 0, log.read_text()
    assert timeless(read_rows(out)) == timeless(read_rows(reference))


def test_interrupted_it_says_how_to_go_on(config_file: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(config_file, out) as (process, log):
        wait_for(out, "segments/*/segment.json", 2, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stdout is not None
        assert process.stdout.read() == ""
    said = log.read_text()
    assert "Traceback" not in said
    assert said.splitlines()[-1] == (
        "stopped; what was finished is kept: run the same command again to go on"
    )
    done = {path.parent.name for path in out.glob("segments/*/segment.json")}
    stamps = {name: (out / "segments" / name / "segment.json").stat().st_mtime_ns for name in done}
    with started(config_file, out) as (process, log):
        assert process.wait(timeout=300) == 0, log.read_text()
    assert timeless(read_rows(out)) == timeless(read_rows(reference))
    for name, stamp in stamps.items():
        assert (out / "segments" / name / "segment.json").stat().st_mtime_ns == stamp


class Heard:
    """Remembers what became of each task."""

    def __init__(self) -> None:
        self.finished: list[Task] = []
        self.failures: list[str] = []

    def progress(self, task: Task, steps: int, loss: float) -> None:
        pass

    def done(self, task: Task) -> None:
        self.finished.append(task)

    def failed(self, task: Task, reason: str) -> None:
        self.failures.append(reason)


def test_workers_that_die_fail_their_tasks_and_are_replaced(
    config: SweepConfig, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many deaths as there are workers, and every other task is done all the same."""
    store = Store.open(tmp_path / "out", config)
    plan = make_plan(config, corpus)
    tree = plan.tree(plan.grid)
    cells = {p.cell.cell_id: p.cell for p in plan.grid}
    tasks = [_task(tree, cells, s, set(tree.segments), config, corpus) for s in tree.segments]
    roots = [task for task in tasks if task.segment.parent is None]
    listener = Heard()
    with contextlib.closing(open_launcher(store, Execution())) as launcher:
        killer = iter(range(launcher.worker_count))
        start_worker = launcher._start

        def doomed(core: int | None) -> object:
            worker = start_worker(core)
            if next(killer, None) is not None:
                monkeypatch.setattr(
                    worker, "give", lambda pack, give=worker.give: (give(pack), worker.process.kill())
                )
            return worker

        launcher._start = doomed  # pyright: ignore[reportAttributeAccessIssue]  # a worker all the same
        launcher.run(roots, listener)
    assert len(listener.failures) == min(launcher.worker_count, len(roots))
    assert all("worker process ended with status -9" in reason for reason in listener.failures)
    assert len(listener.finished) == len(roots) - len(listener.failures)
