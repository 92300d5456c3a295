"""A worker: takes what can be done from the sweep's folder until nothing is left."""

from __future__ import annotations

import contextlib
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from isoflop.base.durable import CorruptRecordError, is_full
from isoflop.base.errors import UserError
from isoflop.base.json_values import from_json, to_json
from isoflop.models import ModelConfig
from isoflop.sweeps.queue import board as boards
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.claims import Claim, Claims, names
from isoflop.sweeps.queue.heartbeats import HeartbeatMonitor, HeartbeatWriter
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import TRIES, Contents, DiskFullError, Store
from isoflop.sweeps.queue.task import Task
from isoflop.sweeps.workers.child import accelerated
from isoflop.sweeps.workers.execute import Interrupted, Worked, execute, prepare
from isoflop.sweeps.workers.memory import members_that_fit, refuse_too_large
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.sweeps.workers.process_group import ALONE, ProcessGroup
from isoflop.train.device import Device, find_device, set_up
from isoflop.train.loop import pack_key

DEATHS = 5
"""A task at which so many workers died is taken to be what kills them."""

IDLE_SECONDS = 30.0
"""How long a worker with nothing to do stays."""

LOOK_SECONDS = 0.1, 2.0
"""Between two looks at a folder that has nothing to do: at first, and at most."""


@dataclass(frozen=True)
class Order:
    """A pack that a group of processes is to do, so many steps of it `done` before; none: it is over."""

    tasks: tuple[Task, ...] = ()
    done: int = 0


def lead(
    store: Store,
    who: ProcessIdentity,
    pulse: HeartbeatWriter,
    options: WorkerOptions,
    leave: Callable[[], bool],
    group: ProcessGroup,
) -> None:
    """Works on the folder as the first process of a group, until nothing is left or it should leave.

    Raises `UserError` where it can't work here.
    """
    set_up()
    found = find_device(options.execution)
    if found.platform == "cpu" and accelerated(options.execution):
        raise UserError(
            "JAX has a plugin for an accelerator here and finds none: mend its driver, or say --platform cpu "
            "to train on the cores"
        )
    pulse.headway(device=to_json(found))
    Worker(store, who, pulse, found, options, leave, group).run()
    group.tell(to_json(Order()))


def follow(store: Store, options: WorkerOptions, group: ProcessGroup) -> None:
    """Does what the group's first process says, until it says that it is over."""
    set_up()
    while (order := from_json(Order, group.tell())).tasks:
        with contextlib.suppress(Interrupted):
            execute(order.tasks, store, order.done, Worked(options=options, group=group))


class Worker:
    """One worker on the folder of `store`, training on `device`; `leave` says when it should go."""

    def __init__(
        self,
        store: Store,
        who: ProcessIdentity,
        pulse: HeartbeatWriter,
        device: Device,
        options: WorkerOptions,
        leave: Callable[[], bool],
        group: ProcessGroup = ALONE,
    ) -> None:
        self.group = group
        self.store, self.pulse, self.device, self.options, self.leave = store, pulse, device, options, leave
        self.claims = Claims(store.path / "claims", who.name)
        self.watch = HeartbeatMonitor(store.path / "workers", options.lease_seconds)
        self.boards: dict[str, Board] = {}
        self.model: ModelConfig | None = None
        self.alone: set[str] = set()
        """Segments of packs that failed: each is done alone, and fails for itself."""
        self.others = False
        """Whether others held something that is missing, at the last look."""

    def run(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Works until there was nothing to do for `idle_seconds`, or it should leave."""
        since, pause = time.monotonic(), LOOK_SECONDS[0]
        while not self.leave():
            self.pulse.headway(state="idle", tasks=[])
            pack = self._next_pack()
            if pack:
                self._do(pack)
                since, pause = time.monotonic(), LOOK_SECONDS[0]
            elif time.monotonic() - since >= self._patience(idle_seconds):
                return
            else:
                time.sleep(min(pause, idle_seconds) * random.uniform(0.5, 1.0))  # not all at the same moment
                pause = min(1.5 * pause, LOOK_SECONDS[1])

    def _patience(self, idle_seconds: float) -> float:
        """Longer than a lease while others hold what is missing: they may be dead, and only a look that lasts
        can tell."""
        return (
            max(idle_seconds, 2 * self.options.lease_seconds)
            if self.others and idle_seconds
            else idle_seconds
        )

    def _next_pack(self) -> list[tuple[Task, Claim]]:
        """Tasks to do as one, claimed; none if there is nothing that could be done now."""
        self.others = False
        for name in names(self.store.path / "board"):
            if name not in self.boards and (read := boards.read(self.store, name)):
                self.boards[name] = read
                refuse_too_large(
                    (s.recipe for s in read.tree.segments.values()), self.device, self.options.execution
                )
            board = self.boards.get(name)
            pack = self._pack_from(board) if board else []
            if pack:
                return pack
        return []

    def _pack_from(self, board: Board) -> list[tuple[Task, Claim]]:
        contents, standing = self.store.contents(), {c.task: c for c in self.claims.standing()}
        missing = board.missing(contents)
        gone = self.watch.gone(claim.worker for claim in standing.values())
        self.others = self.others or not missing.isdisjoint(standing)
        free = [
            name
            for name in board.ready(missing, contents)
            if name not in standing or standing[name].worker in (self.claims.worker, *gone)
        ]
        if (
            self.model is None
        ):  # so that the first tasks of several workers don't compile the same side by side
            busy = {board.tree.segments[t].recipe.model for t in standing if t in board.tree.segments}
            free.sort(key=lambda name: board.tree.segments[name].recipe.model in busy)
        pack: list[tuple[Task, Claim]] = []
        for name in free:
            task = board.task(name, missing)
            if pack and not self._fits(task, pack, contents):
                continue
            claim = self._claim(name, standing.get(name))
            if claim and self._is_done(task):
                self.claims.release(claim)
            elif claim:
                pack.append((task, claim))
                most = (
                    1 if name in self.alone else members_that_fit(task, self.device, self.options.execution)
                )
                if len(pack) >= most:
                    break
        return pack

    def _fits(self, task: Task, pack: list[tuple[Task, Claim]], contents: Contents) -> bool:
        name, first = task.segment.segment_id, pack[0][0].segment
        as_far = contents.partial.get(name) == contents.partial.get(first.segment_id)
        return name not in self.alone and as_far and pack_key(task.segment) == pack_key(first)

    def _claim(self, name: str, dead: Claim | None) -> Claim | None:
        if dead is None:
            return self.claims.take(name)
        if dead.worker == self.claims.worker:  # taken, though the answer was that it wasn't
            return dead
        claim = self.claims.take_over(dead)
        if claim:
            (self.watch.folder / f"{dead.worker}.json").unlink(missing_ok=True)  # it is at work no more
        if claim and claim.epoch > DEATHS:
            self.store.fail(name, f"{DEATHS} workers died at it (see the workers' logs)", TRIES)
            self.claims.release(claim)
            return None
        return claim

    def _is_done(self, task: Task) -> bool:
        """Whether another did the task between the look at the folder and the claim."""
        name = task.segment.segment_id
        if task.cell:
            return self.store.cell_done(task.cell.cell_id) or self.store.diverged(name).exists()
        if self.store.diverged(name).exists():
            return True
        return self.store.segment(name).exists() and (not task.save or self.store.has_checkpoint(name))

    def _do(self, pack: list[tuple[Task, Claim]]) -> None:
        tasks, claims = [task for task, _ in pack], [claim for _, claim in pack]
        self.model = tasks[0].segment.recipe.model

        def progress(steps: int, losses: Any) -> None:
            self.pulse.headway(state="training", tasks=_told(tasks, steps, losses))

        self.pulse.headway(state="training", tasks=_told(tasks, 0, [None] * len(tasks)))
        held = lambda number: self.claims.held(claims[number])  # noqa: E731  # typed by its use
        try:
            done = prepare(tasks, self.store)
            self.group.tell(to_json(Order(tuple(tasks), done)))
            execute(tasks, self.store, done, Worked(progress, self.leave, held, self.options, self.group))
        except Interrupted:
            pass
        except CorruptRecordError as damage:  # set aside: what is missing now is trained first
            print(f"set aside: {damage}", file=sys.stderr)
        except Exception as error:
            traceback.print_exc()
            if is_full(error):  # no fault of the task's
                raise DiskFullError(self.store.path) from error
            self._fail(pack, f"{type(error).__name__}: {error}".splitlines()[0])
            if self.group.count > 1:  # the others wait for this one in the middle of something
                raise
        finally:
            for claim in claims:
                self.claims.release(claim)

    def _fail(self, pack: list[tuple[Task, Claim]], reason: str) -> None:
        if len(pack) > 1:
            self.alone |= {task.segment.segment_id for task, _ in pack}
            return
        (task, claim), name = pack[0], pack[0][0].segment.segment_id
        if self.claims.held(claim):
            self.store.fail(name, reason, self.store.contents().failures.get(name, 0) + 1)
        self.store.drop_partials(task.segment.segment_id)  # what was left half-way may be what is wrong


def _told(tasks: Sequence[Task], steps: int, losses: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"segment": t.segment.segment_id, "steps": steps, "loss": None if loss is None else float(loss)}
        for t, loss in zip(tasks, losses, strict=True)
    ]
