"""A worker: takes what can be done from a folder, a sweep's or a measurement's, until nothing is left."""

from __future__ import annotations

import contextlib
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.base.durable import CorruptRecordError, DiskFullError, is_full, list_names
from isoflop.base.errors import UserError
from isoflop.base.json_values import from_json, to_json
from isoflop.models import ModelConfig
from isoflop.sweeps.queue import board as boards
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.claims import Claim, Claims
from isoflop.sweeps.queue.evaluation_board import Evaluation, EvaluationBoard, read_evaluations
from isoflop.sweeps.queue.heartbeats import IDLE, TRAINING, HeartbeatMonitor, HeartbeatWriter, TaskProgress
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import MAX_TRIES, Contents, Store
from isoflop.sweeps.queue.task import Task
from isoflop.sweeps.workers.child import accelerated
from isoflop.sweeps.workers.execute import Interrupted, PackContext, execute, prepare
from isoflop.sweeps.workers.measure import measure
from isoflop.sweeps.workers.memory import members_that_fit, refuse_too_large
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.sweeps.workers.process_group import ALONE, ProcessGroup
from isoflop.train.device import Device, find_device, set_up
from isoflop.train.loop import pack_key

MAX_WORKER_DEATHS = 5
"""A task at which so many workers died is taken to be what kills them."""

IDLE_SECONDS = 30.0
"""How long a worker with nothing to do stays."""

POLL_SECONDS = 0.1, 2.0
"""Pauses between two looks at a folder that has nothing to do: the first, and the longest."""


AnyTask = Task | Evaluation


@dataclass(frozen=True)
class Pack:
    """Tasks that a group of processes is to train together, so many steps of them `done` before; none: the
    leader is through."""

    tasks: tuple[Task, ...] = ()
    done: int = 0


def lead(
    store: Store,
    process: ProcessIdentity,
    heartbeats: HeartbeatWriter,
    options: WorkerOptions,
    should_leave: Callable[[], bool],
    group: ProcessGroup,
) -> None:
    """Work on the folder as the first process of a group, until nothing is left or it should leave.

    Raises `UserError` where it can't work here.
    """
    set_up()
    device = find_device(options.execution)
    if device.platform == "cpu" and accelerated(options.execution):
        raise UserError(
            "JAX has a plugin for an accelerator here and finds none: mend its driver, or say --platform cpu "
            "to train on the cores"
        )
    Worker(store, process, heartbeats, device, options, should_leave, group).run()
    group.broadcast(to_json(Pack()))


def follow(store: Store, options: WorkerOptions, group: ProcessGroup) -> None:
    """Train what the group's first process says, until it says that it is through."""
    set_up()
    while (pack := from_json(Pack, group.broadcast())).tasks:
        with contextlib.suppress(Interrupted):
            execute(pack.tasks, store, pack.done, PackContext(options, group=group))


class Worker:
    """One worker on the folder of `store`, training on `device`."""

    def __init__(
        self,
        store: Store,
        process: ProcessIdentity,
        heartbeats: HeartbeatWriter,
        device: Device,
        options: WorkerOptions,
        should_leave: Callable[[], bool],
        group: ProcessGroup = ALONE,
    ) -> None:
        self.store, self.heartbeats, self.device, self.options = store, heartbeats, device, options
        self.should_leave, self.group = should_leave, group
        self.claims = Claims(store.path / "claims", process.name)
        self.monitor = HeartbeatMonitor(store.path / "workers", options.lease_seconds)
        self.boards: dict[str, Board | EvaluationBoard] = {}
        self.model: ModelConfig | None = None
        self.unpacked: set[str] = set()
        """Segments of packs that failed: each is trained alone, and fails for itself."""
        self.others_hold = False
        """Whether others held something that is missing, at the last look."""

    def run(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Work until there was nothing to do for `idle_seconds`, or it should leave."""
        since, pause = time.monotonic(), POLL_SECONDS[0]
        while not self.should_leave():
            self.heartbeats.update(IDLE, device=self.device.kind)
            pack = self._next_pack()
            if pack:
                self._work(pack)
                since, pause = time.monotonic(), POLL_SECONDS[0]
            elif time.monotonic() - since >= self._idle_limit(idle_seconds):
                return
            else:
                time.sleep(min(pause, idle_seconds) * random.uniform(0.5, 1.0))  # not all at the same moment
                pause = min(1.5 * pause, POLL_SECONDS[1])

    def _idle_limit(self, idle_seconds: float) -> float:
        """Return the seconds to stay with nothing to do: two leases while others hold what is missing, since
        only their silence may show that they are dead."""
        if not (self.others_hold and idle_seconds):
            return idle_seconds
        return max(idle_seconds, 2 * self.options.lease_seconds)

    def _next_pack(self) -> list[tuple[AnyTask, Claim]]:
        """Tasks to do as one, claimed; none if there is nothing that could be done now."""
        self.others_hold = False
        for name in list_names(self.store.path / "board"):
            if name not in self.boards and (read := self._read(name)):
                self.boards[name] = read
                if isinstance(read, Board):
                    refuse_too_large(read.recipes.values(), self.device, self.options.execution)
            board = self.boards.get(name)
            pack = self._pack_from(board) if board else []
            if pack:
                return pack
        return []

    def _read(self, name: str) -> Board | EvaluationBoard | None:
        """The board of that name, whose kind says what this worker does."""
        value = boards.read_value(self.store, name)
        if value and (found := read_evaluations(value)):
            return found
        read = boards.read(self.store, name)
        return read.board if read else None

    def _pack_from(self, board: Board | EvaluationBoard) -> list[tuple[AnyTask, Claim]]:
        contents, standing = self.store.contents(), {c.task: c for c in self.claims.standing()}
        missing = board.missing(contents)
        gone = self.monitor.gone(claim.worker for claim in standing.values())
        self.others_hold = self.others_hold or not missing.isdisjoint(standing)
        free = [
            name
            for name in board.ready(missing, contents)
            if name not in standing or standing[name].worker in (self.claims.worker, *gone)
        ]
        if self.model is None:
            # So that several workers that have just begun don't compile the same programs side by side.
            busy = {board.recipes[t].model for t in standing if t in board.recipes}
            free.sort(key=lambda name: board.recipes[name].model in busy)
        pack: list[tuple[AnyTask, Claim]] = []
        for name in free:
            task = board.task(name, missing)
            if pack and not self._fits(task, pack, contents):
                continue
            claim = self._claim(name, standing.get(name))
            if claim and task.is_done(self.store):
                self.claims.release(claim)
            elif claim:
                pack.append((task, claim))
                if isinstance(task, Evaluation) or name in self.unpacked:
                    break
                if len(pack) >= members_that_fit(task, self.device, self.options.execution):
                    break
        return pack

    def _fits(self, task: AnyTask, pack: list[tuple[AnyTask, Claim]], contents: Contents) -> bool:
        first = pack[0][0]
        if isinstance(task, Evaluation) or isinstance(first, Evaluation):
            return False
        as_far = contents.partial.get(task.name) == contents.partial.get(first.name)
        return task.name not in self.unpacked and as_far and pack_key(task.segment) == pack_key(first.segment)

    def _claim(self, name: str, dead: Claim | None) -> Claim | None:
        if dead is None:
            return self.claims.take(name)
        if dead.worker == self.claims.worker:  # taken, though the answer was that it wasn't
            return dead
        claim = self.claims.take_over(dead)
        if claim:
            self.monitor.forget(dead.worker)
        if claim and claim.epoch > MAX_WORKER_DEATHS:
            self.store.fail(
                name, f"{MAX_WORKER_DEATHS} workers died at it (see the workers' logs)", MAX_TRIES
            )
            self.claims.release(claim)
            return None
        return claim

    def _work(self, pack: list[tuple[AnyTask, Claim]]) -> None:
        tasks, claims = [task for task, _ in pack], [claim for _, claim in pack]
        names = [task.name for task in tasks]
        self.model = tasks[0].recipe.model

        def on_progress(steps: int, losses: NDArray[np.float32]) -> None:
            progress = zip(names, losses.tolist(), strict=True)
            self.heartbeats.update(TRAINING, (TaskProgress(name, steps, loss) for name, loss in progress))

        def is_held(number: int) -> bool:
            return self.claims.held(claims[number])

        self.heartbeats.update(TRAINING, map(TaskProgress, names))
        try:
            if isinstance(tasks[0], Evaluation):  # of which a pack has one
                measure(tasks[0], self.store, lambda: is_held(0))
            else:
                context = PackContext(self.options, on_progress, self.should_leave, is_held, self.group)
                self._train([task for task in tasks if isinstance(task, Task)], context)
        except Interrupted:
            pass
        except CorruptRecordError as error:  # set aside: what is missing now is trained first
            print(f"set aside: {error}", file=sys.stderr)
        except Exception as error:
            traceback.print_exc()
            if is_full(error):  # no fault of the task's
                raise DiskFullError(self.store.path) from error
            said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self._fail(pack, said.splitlines()[0])
            if self.group.count > 1:  # the others wait for this one in the middle of something
                raise
        finally:
            for claim in claims:
                self.claims.release(claim)

    def _train(self, tasks: list[Task], context: PackContext) -> None:
        done = prepare(tasks, self.store)
        self.group.broadcast(to_json(Pack(tuple(tasks), done)))
        execute(tasks, self.store, done, context)

    def _fail(self, pack: list[tuple[AnyTask, Claim]], reason: str) -> None:
        if len(pack) > 1:
            self.unpacked |= {task.name for task, _ in pack}
            return
        (task, claim), name = pack[0], pack[0][0].name
        if self.claims.held(claim):
            self.store.fail(name, reason, self.store.contents().failures.get(name, 0) + 1)
        self.store.drop_partials(task.name)  # what was left half-way may be what is wrong
