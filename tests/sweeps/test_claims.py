"""Who has what, among many at once, some of them dead or silent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from isoflop.base.json_values import to_json
from isoflop.sweeps.grids.segments import Tree
from isoflop.sweeps.queue.board import Board, publish
from isoflop.sweeps.queue.claims import Claim, Claims
from isoflop.sweeps.queue.heartbeats import (
    HUNG,
    TRAINING,
    Heartbeat,
    HeartbeatMonitor,
    HeartbeatWriter,
    read_heartbeats,
)
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.queue.task import Task
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.sweeps.workers.worker import Worker
from isoflop.train.device import Device
from isoflop.train.spec import CellSpec, Segment
from tests.support.heartbeats import write_heartbeat
from tests.support.small import small_recipe
from tests.support.stand_in import wait_until

RACE = """
import json, sys
from pathlib import Path
from isoflop.sweeps.queue.claims import Claim, Claims
folder, name, tasks, dead = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
claims = Claims(Path(folder), name)
won = []
for task in range(tasks):
    got = claims.take_over(Claim(str(task), dead, 1)) if dead else claims.take(str(task))
    won += [task] if got and claims.held(got) else []
print(json.dumps(won))
"""


def race(folder: Path, tasks: int, dead: str = "", racers: int = 6) -> Counter[int]:
    """Task -> how many of several processes got it, all after it at once."""
    command = [sys.executable, "-c", RACE, str(folder)]
    processes = [
        subprocess.Popen([*command, f"w{i}", str(tasks), dead], stdout=subprocess.PIPE, text=True)
        for i in range(racers)
    ]
    return Counter(task for p in processes for task in json.loads(p.communicate()[0]))


@pytest.mark.slow
def test_of_many_after_one_task_one_gets_it(tmp_path: Path) -> None:
    assert race(tmp_path, 300) == dict.fromkeys(range(300), 1)
    assert len(Claims(tmp_path, "").standing()) == 300


@pytest.mark.slow
def test_of_many_after_a_dead_workers_task_one_gets_it(tmp_path: Path) -> None:
    dead = Claims(tmp_path, "dead")
    assert all(dead.take(str(task)) for task in range(300))
    assert race(tmp_path, 300, dead="dead") == dict.fromkeys(range(300), 1)
    assert {claim.epoch for claim in dead.standing()} == {2}


def test_a_claim_taken_over_is_no_more_its_first_workers(tmp_path: Path) -> None:
    slow, other = Claims(tmp_path, "slow"), Claims(tmp_path, "other")
    mine = slow.take("task")
    assert mine is not None
    assert other.take("task") is None
    theirs = Claim("task", "other", 2)
    assert other.take_over(mine) == theirs
    assert not slow.held(mine)
    assert not slow.release(mine)
    assert other.held(theirs)
    assert other.release(theirs)
    assert slow.take("task") == Claim("task", "slow", 1)


def test_a_worker_is_gone_when_its_heartbeat_stands_still_for_the_lease(tmp_path: Path) -> None:
    now = [1000.0]
    monitor = HeartbeatMonitor(tmp_path, 10.0, clock=lambda: now[0])
    write_heartbeat(tmp_path, "busy", 1)
    write_heartbeat(tmp_path, "hung", 1)
    assert monitor.gone(["busy", "hung", "unheard"]) == set()
    gone = set[str]()
    for count in range(2, 6):
        now[0] += 4.0
        write_heartbeat(tmp_path, "busy", count)
        gone = monitor.gone(["busy", "hung", "unheard"])
    assert gone == {"hung", "unheard"}
    write_heartbeat(tmp_path, "hung", 2)  # it wakes up
    assert monitor.gone(["busy", "hung"]) == set()


def test_a_dead_process_of_this_machine_is_known_at_once(tmp_path: Path) -> None:
    code = (
        "from isoflop.sweeps.queue.process_identity import ProcessIdentity\n"
        "from isoflop.base.json_values import to_json; import json\n"
    )
    code += "print(json.dumps(to_json(ProcessIdentity.own())))"
    ended = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    dead, alive = ProcessIdentity(**ended), ProcessIdentity.own()
    assert dead.is_dead()
    assert not alive.is_dead()
    assert replace(alive, started="0").is_dead()  # its number is another's now
    assert not replace(dead, machine="another").is_dead()
    for process in (dead, alive):
        (tmp_path / f"{process.name}.json").write_text(json.dumps(to_json(Heartbeat(process, 1))))
    assert HeartbeatMonitor(tmp_path, 1e9).gone([dead.name, alive.name]) == {dead.name}


HANG = """
import sys, time
from pathlib import Path
from isoflop.sweeps.queue.heartbeats import HeartbeatWriter
from isoflop.sweeps.queue.process_identity import ProcessIdentity
heartbeats = HeartbeatWriter(Path(sys.argv[1]), ProcessIdentity.own(), 0.02, hang_seconds=0.4)
heartbeats.start()
for _ in range(100):
    heartbeats.update("training")
    time.sleep(0.01)
print("still there", flush=True)
time.sleep(60)
"""


def test_a_process_that_makes_no_headway_is_ended(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANG, str(tmp_path)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout == "still there\n"
    assert done.returncode == HUNG


def test_a_heartbeat_goes_on_until_it_is_stopped(tmp_path: Path) -> None:
    writer = HeartbeatWriter(tmp_path, ProcessIdentity.own(), 0.01)
    writer.start()
    (first,) = read_heartbeats(tmp_path)
    writer.update(TRAINING)
    wait_until(lambda: read_heartbeats(tmp_path)[0].state == TRAINING)
    assert read_heartbeats(tmp_path)[0].count > first.count
    assert first.process.pid == os.getpid()
    writer.stop()
    assert read_heartbeats(tmp_path) == []


def test_idle_workers_stay_longer_than_a_lease_while_others_hold_what_is_missing(tmp_path: Path) -> None:
    """Else the last task of a worker that died on another machine would be nobody's for ever."""
    store = Store(tmp_path)
    recipe = small_recipe()
    segment = Segment(recipe, 0, 10, None, None)
    name = segment.segment_id
    cell = CellSpec(recipe, 10)
    tree = Tree({name: segment}, {cell.cell_id: (name,)})
    board = Board("all", tree, {cell.cell_id: cell}, "none", "")
    publish(board, store)
    write_heartbeat(tmp_path / "workers", "lost", 1)
    assert Claims(tmp_path / "claims", "lost").take(name)
    done: list[str] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def execute(tasks: Sequence[Task], *_: object) -> None:
        done.extend(task.segment.segment_id for task in tasks)
        store.cell(cell.cell_id).mkdir(parents=True)

    process = ProcessIdentity.own()
    worker = Worker(
        store,
        process,
        HeartbeatWriter(tmp_path / "workers", process, 5.0),
        Device("cpu", "cpu", 1, 1 << 34),
        WorkerOptions(lease_seconds=60.0),
        lambda: False,
    )
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    worker.monitor.clock = clock.monotonic
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isoflop.sweeps.workers.worker.execute", execute)
        patch.setattr("isoflop.sweeps.workers.worker.time", clock)
        worker.run(idle_seconds=30.0)
    assert done == [name]
    assert not (tmp_path / "workers" / "lost.json").exists()
