"""Nothing waits for ever: a stage under which nothing gets done ends, with the reason."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isoflop.base.errors import UserError
from isoflop.sweeps import stage, stall
from isoflop.sweeps.grids.segments import Tree
from isoflop.sweeps.launchers import pool
from isoflop.sweeps.launchers.local import open_launcher
from isoflop.sweeps.launchers.pool import RestartBackoff
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.claims import Claim, Claims
from isoflop.sweeps.queue.heartbeats import IDLE, STARTING, TRAINING, Heartbeat, TaskProgress
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.stage import Snapshot, complete_stage, take_snapshot
from isoflop.sweeps.stall import STALL_SECONDS, START_SECONDS, StallMonitor
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution
from isoflop.train.spec import CellSpec, Segment
from tests.support.small import small_recipe
from tests.support.stand_in import StandIn, command

LEASE = 60.0


class NoWorkers:
    """A launcher that starts nothing."""

    worker_count = 1

    def scale(self, wanted: int) -> list[str]:
        return []

    def close(self) -> None:
        pass


class Queue(NoWorkers):
    """One whose workers wait for a machine as long as `waiting` says."""

    waiting = "2 workers are queued (Resources)"


def board() -> Board:
    """Two cells of one segment each."""
    tree, cells = Tree(), {}
    for width_seed in (0, 1):
        segment = Segment(small_recipe(init_seed=width_seed), 0, 10, None, None)
        cell = CellSpec(segment.recipe, 10)
        tree.segments[segment.segment_id] = segment
        tree.paths[cell.cell_id] = (segment.segment_id,)
        cells[cell.cell_id] = cell
    return Board("grid", tree, cells, "none", "")


class SimulatedStage:
    """A stage that is looked at every five seconds of a clock of its own."""

    def __init__(self, folder: Path, launcher: Any = None) -> None:
        self.store, self.board = Store(folder), board()
        self.now, self.count = 0.0, 0
        self.launcher = launcher or NoWorkers()
        self.monitor = StallMonitor(self.launcher, LEASE, clock=lambda: self.now)
        self.said: list[str] = []

    def snapshot(self, *heartbeats: Heartbeat, claims: tuple[Claim, ...] = ()) -> Snapshot:
        found = take_snapshot(self.board, self.store)
        return replace(found, heartbeats=heartbeats, claims=claims)

    def heartbeat(self, name: str = "worker", moves: bool = True, state: str = TRAINING) -> Heartbeat:
        self.count += moves
        segment = next(iter(self.board.tree.segments))
        tasks = (TaskProgress(segment),) if state == TRAINING else ()
        process = ProcessIdentity(name, "here", 1, "", "")
        return Heartbeat(process, self.count if moves else 1, state, tasks=tasks)

    def run(self, seconds: float, snapshot: Callable[[], Snapshot]) -> tuple[float, str]:
        """The time at which the stage was found to be stuck, and why; or the whole time, and nothing."""
        until = self.now + seconds
        while self.now < until:
            self.now += 5.0
            if said := self.monitor.queue_notice():
                self.said.append(said)
            if why := self.monitor.reason(snapshot()):
                return self.now, why
        return self.now, ""


def test_without_a_worker_it_ends_within_a_minute(tmp_path: Path) -> None:
    simulated = SimulatedStage(tmp_path)
    at, why = simulated.run(600, simulated.snapshot)
    assert STALL_SECONDS < at < 60
    assert "2 tasks wait, width 8 first, and no worker is at work" in why


def test_workers_that_take_nothing_are_no_work(tmp_path: Path) -> None:
    simulated = SimulatedStage(tmp_path)
    at, why = simulated.run(600, lambda: simulated.snapshot(simulated.heartbeat(state=IDLE)))
    assert at < 60
    assert "1 workers that are there take none" in why


def test_a_long_step_is_work(tmp_path: Path) -> None:
    simulated = SimulatedStage(tmp_path)
    segment = next(iter(simulated.board.tree.segments))
    claims = (Claim(segment, "worker", 1),)
    at = lambda: simulated.snapshot(simulated.heartbeat(), claims=claims)  # noqa: E731
    assert simulated.run(20_000, at)[1] == ""


def test_a_claim_of_a_worker_that_is_silent_ends_it_after_the_lease(tmp_path: Path) -> None:
    simulated = SimulatedStage(tmp_path)
    segment = next(iter(simulated.board.tree.segments))
    silent = lambda: simulated.snapshot(  # noqa: E731
        simulated.heartbeat(moves=False), claims=(Claim(segment, "worker", 1),)
    )
    at, why = simulated.run(1000, silent)
    assert LEASE < at <= LEASE + 35
    assert "worker holds width 8 and is silent" in why


def test_queued_workers_are_waited_for_and_it_says_so(tmp_path: Path) -> None:
    simulated = SimulatedStage(tmp_path, launcher := Queue())
    assert simulated.run(7200, simulated.snapshot) == (7200, "")
    assert 10 <= len(simulated.said) <= 14
    assert all("2 workers are queued (Resources)" in said for said in simulated.said)
    launcher.waiting = ""
    at, why = simulated.run(600, simulated.snapshot)
    assert at < 7260
    assert why


def test_a_worker_that_is_slow_to_start_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    simulated = SimulatedStage(tmp_path)
    at, why = simulated.run(3600, lambda: simulated.snapshot(simulated.heartbeat(state=STARTING)))
    assert START_SECONDS < at <= START_SECONDS + 75
    assert why


def test_workers_that_start_one_after_the_other_are_no_work(tmp_path: Path) -> None:
    """As of a launcher of one's own that replaces for ever what dies before it has taken anything."""
    simulated = SimulatedStage(tmp_path)
    at, why = simulated.run(
        3600, lambda: simulated.snapshot(simulated.heartbeat(f"worker {simulated.now // 10}", state=STARTING))
    )
    assert at < 100
    assert why


def test_what_is_filed_is_headway_whoever_did_it(tmp_path: Path) -> None:
    simulated = SimulatedStage(tmp_path)

    def snapshot() -> Snapshot:
        if simulated.now % 40 == 0:
            (tmp_path / "partial" / f"someone~{simulated.now:.0f}").mkdir(parents=True)
        return simulated.snapshot()

    assert simulated.run(1000, snapshot)[1] == ""


def test_a_machine_that_slept_did_not_wait(tmp_path: Path) -> None:
    simulated = SimulatedStage(tmp_path)
    assert simulated.run(10, simulated.snapshot)[1] == ""
    simulated.now += 1e5
    assert simulated.run(5, simulated.snapshot)[1] == ""


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths."""
    monkeypatch.setattr(stall, "STALL_SECONDS", 1.5)
    monkeypatch.setattr(pool, "PAUSE_SECONDS", (0.05, 1.0))
    monkeypatch.setattr(stage, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(child, "command", command)


@pytest.mark.parametrize(
    ("instructions", "says"),
    [
        ({"code": 0}, "grid: nothing was done for .*: 2 tasks wait, .*worker.log"),
        ({}, "grid: nothing was done for .*: 2 tasks wait, .*worker.log"),
        ({"code": 3}, "no worker can work: they end one after the other .*worker.log"),
    ],
    ids=["come and leave", "stay and do nothing", "die"],
)
def test_local_workers_that_do_nothing_end_the_stage_with_the_reason(
    instructions: dict[str, Any], says: str, tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if instructions.get("code"):  # given up by their number, however long their starts take
        monkeypatch.setattr(stall, "STALL_SECONDS", 600.0)
    store = Store(tmp_path)
    StandIn(tmp_path).instruct(**instructions)
    with (
        contextlib.closing(open_launcher(store, WorkerOptions(Execution(platform="cpu")))) as launcher,
        pytest.raises(UserError, match=says) as caught,
    ):
        complete_stage(board(), store, launcher)
    assert "\n" not in str(caught.value)


def test_a_launcher_that_starts_nothing_ends_the_stage(tmp_path: Path, hasty: None) -> None:
    with pytest.raises(UserError, match="no worker is at work"):
        complete_stage(board(), Store(tmp_path), NoWorkers())


class Deaths:
    """Workers that end badly one after the other, each after the pause of the one before."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool, "PAUSE_SECONDS", (0.0, 0.0))
        self.store = Store(folder)
        self.backoff = RestartBackoff(self.store, folder / "worker.log")

    def until_given_up(self, before_each: Callable[[int], object] = lambda number: None) -> int:
        for number in range(100):
            before_each(number)
            try:
                self.backoff.record(failed=True, alive=False)
            except UserError:
                return number + 1
        return 100


def test_workers_that_die_before_they_claim_anything_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "worker.log").write_text("Traceback ...\nImportError: no module named jax\n\n")
    deaths = Deaths(tmp_path, monkeypatch)
    assert deaths.until_given_up() == pool.MAX_EARLY_EXITS
    with pytest.raises(UserError, match="the last line there: ImportError: no module named jax"):
        deaths.backoff.record(failed=False, alive=False)
    deaths.backoff.record(failed=False, alive=True)  # others work


def test_a_claim_in_between_starts_the_count_anew_and_so_does_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = Deaths(tmp_path, monkeypatch)
    claims = Claims(tmp_path / "claims", "worker")
    assert deaths.until_given_up(lambda number: claims.take(f"task {number}")) == pool.MAX_FRUITLESS_EXITS
    deaths = Deaths(tmp_path, monkeypatch)
    filed = lambda number: (tmp_path / "partial" / f"task~{number}").mkdir(parents=True)  # noqa: E731
    assert deaths.until_given_up(filed) == 100


def test_workers_that_die_together_count_once(tmp_path: Path) -> None:
    backoff = RestartBackoff(Store(tmp_path), tmp_path / "worker.log")
    for _ in range(64):
        backoff.record(failed=True, alive=False)
    assert not backoff.may_start()
