"""The local launcher, with real processes, and how it bears being stopped, killed and failed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from isoflop.base.errors import UserError
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.launchers import load_launcher
from isoflop.sweeps.launchers.local import open_launcher
from isoflop.sweeps.plan import make_plan
from isoflop.sweeps.progress.status import read_status
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.stage import Snapshot, complete_stage
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.data.corpus import Corpus
from isoflop.train.execution import Execution
from tests.support.chaos import chaos
from tests.support.in_process import Runner
from tests.support.stand_in import wait_until
from tests.support.tables import read_rows, timeless

pytestmark = pytest.mark.slow

KILLS = 3
"""Of a chaotic sweep here; `make chaos KILLS=n` does many."""

CONFIG = """
from tests.support.small import small_sweep
SWEEP = small_sweep(
    {source!r}, budgets=(1e8, 2e8, 4e8), ladder=(8,), sizes=1, centre_width=8, seeds=2
)
"""


@pytest.fixture(scope="module")
def config(narrow: SweepConfig) -> SweepConfig:
    """One width, which each worker compiles, under two seeds: long enough to be stopped before its end."""
    return narrow.with_options(seeds=2)


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


def start(config_file: Path, out: Path, log: IO[str], *options: str) -> subprocess.Popen[str]:
    """`isoflop sweep` in a process group of its own."""
    command = [sys.executable, "-m", "isoflop", "sweep", str(config_file), "--out", str(out), "--no-report"]
    command += options
    return subprocess.Popen(command, start_new_session=True, stderr=log, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def started(
    config_file: Path, out: Path, *options: str, name: str = "out"
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """That process and its stderr's file; ended with all its group when the test is."""
    log = out.with_name(f"{name}.stderr")
    with log.open("w") as file, start(config_file, out, file, *options) as process:
        try:
            yield process, log
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(path: Path, pattern: str, count: int, process: subprocess.Popen[str]) -> None:
    """Return once the folder holds that many files, or the process has ended."""
    wait_until(lambda: len(list(path.glob(pattern))) >= count or process.poll() is not None, seconds=300)


def test_a_sweep_of_three_budgets_under_two_seeds(reference: Path) -> None:
    rows = read_rows(reference)
    assert len(rows) == 6
    assert {row["status"] for row in rows} == {"finished"}
    assert {row["role"] for row in rows} == {"grid"}
    assert all(1 < float(row["loss"]) < 5 for row in rows)
    assert {row["device"] for row in rows} == {"cpu"}


def test_run_again_it_gives_the_launcher_nothing(run: Runner, config: SweepConfig, reference: Path) -> None:
    before = (reference / "runs.csv").read_bytes()
    run(config, reference)
    assert run.given == []
    assert (reference / "runs.csv").read_bytes() == before


def test_two_launchers_on_one_folder_share_the_work(
    config_file: Path, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with (
        started(config_file, out, name="first") as (first, log),
        started(config_file, out, name="second") as (other, other_log),
    ):
        assert first.wait(timeout=300) == 0, log.read_text()
        assert other.wait(timeout=300) == 0, other_log.read_text()
    assert timeless(read_rows(out)) == timeless(read_rows(reference))
    assert read_status(out).state == "finished"
    assert not list((out / "claims").glob("*/*"))


def test_interrupted_it_says_how_to_go_on(config_file: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seeds = ("--seeds", "5")  # so that it is not over before the signal comes
    with started(config_file, out, *seeds) as (process, log):
        wait_for(out, "claims/*/*", 1, process)
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
    with started(config_file, out, *seeds) as (process, log):
        assert process.wait(timeout=300) == 0, log.read_text()
    rows = timeless(read_rows(out))
    assert len(rows) == 15
    assert all(row in rows for row in timeless(read_rows(reference)))
    for name, stamp in stamps.items():
        assert (out / "segments" / name / "segment.json").stat().st_mtime_ns == stamp


def test_asked_to_end_it_leaves_what_goes_on_where_it_was(
    config_file: Path, reference: Path, tmp_path: Path
) -> None:
    """SIGTERM, as from a scheduler: what was being trained is saved half-way, and nothing is done twice."""
    out = tmp_path / "out"
    with started(config_file, out) as (process, log):
        wait_for(out, "claims/*/*", 1, process)
        process.terminate()
        assert process.wait(timeout=60) == 143, log.read_text()
    assert not list((out / "claims").glob("*/*"))
    assert not list((out / "workers").glob("*.json"))
    assert read_status(out).state.startswith("stopped")
    with started(config_file, out) as (process, log):
        assert process.wait(timeout=300) == 0, log.read_text()
    assert timeless(read_rows(out)) == timeless(read_rows(reference))
    assert not list((out / "partial").glob("*"))


def test_workers_share_gpus_in_turn_each_with_its_part_of_the_memory(
    config: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str | None, dict[str, str]]] = []

    def start(*_: Any, gpu: str | None, more: dict[str, str], **__: Any) -> Any:
        started.append((gpu, more))
        return subprocess.Popen(["true"])

    monkeypatch.setattr(child, "accelerated", lambda execution: True)
    monkeypatch.setattr(child, "start", start)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    store = Store.open(tmp_path / "out", config)
    with contextlib.closing(open_launcher(store, WorkerOptions(), "workers_per_gpu=2")) as launcher:
        assert launcher.worker_count == 4
        launcher.start(3)
    part = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.450"}
    assert started == [("4", part), ("5", part), ("4", part)]
    with contextlib.closing(open_launcher(store, WorkerOptions())) as launcher:
        assert launcher.worker_count == 2
        launcher.start(1)
    assert started[-1] == ("4", {})


def test_workers_on_cores_share_no_gpu(config: SweepConfig, tmp_path: Path) -> None:
    store, options = Store.open(tmp_path / "out", config), WorkerOptions(Execution(platform="cpu"))
    with pytest.raises(UserError, match="trains on cores"):
        open_launcher(store, options, "workers_per_gpu=2")
    with pytest.raises(UserError, match="workers_per_gpu 0: must be 1 or more"):
        open_launcher(store, options, "workers_per_gpu=0")


def test_workers_share_no_accelerator_that_is_not_listed(
    config: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a TPU, where each worker would take the whole device."""
    monkeypatch.setattr(child, "accelerated", lambda execution: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    store = Store.open(tmp_path / "out", config)
    with pytest.raises(UserError, match="no NVIDIA GPU is listed"):
        open_launcher(store, WorkerOptions(), "workers_per_gpu=2")


def test_a_worker_that_dies_is_replaced_and_its_work_done(
    config: SweepConfig, corpus: Corpus, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "out", config)
    said: list[str] = []

    def kill(snapshot: Snapshot) -> None:
        for heartbeat in snapshot.heartbeats:
            if snapshot.claims and len(said) + len(killed) < 1:
                killed.append(heartbeat.process.pid)
                os.kill(heartbeat.process.pid, signal.SIGKILL)

    killed: list[int] = []
    plan = make_plan(config, corpus)
    cells = {p.cell.cell_id: p.cell for p in plan.grid}
    board = Board("all", plan.tree(plan.grid), cells, "none", str(corpus.folder))
    with contextlib.closing(open_launcher(store, WorkerOptions())) as launcher:
        complete_stage(board, store, launcher, on_snapshot=kill, warn=said.append)
    assert killed
    assert any("ended with status -9 (see worker.log); another takes its place" in line for line in said)
    assert store.contents().cells == set(cells)


@pytest.mark.parametrize("seed", range(1))
def test_after_kills_of_every_kind_the_tables_are_those_of_an_undisturbed_sweep(
    seed: int, tmp_path: Path
) -> None:
    assert chaos(KILLS, seed, tmp_path) == 0
