"""The processes that hand out a folder's work: each known to the others, and the first to come tidies up."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator

from isoflop.base.durable import list_names
from isoflop.sweeps.queue import board as boards
from isoflop.sweeps.queue.claims import Claims
from isoflop.sweeps.queue.heartbeats import HEARTBEATS_PER_LEASE, HeartbeatMonitor, HeartbeatWriter
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import Store

MAX_HEARTBEAT_SECONDS = 2.0
"""The longest between two heartbeats of a coordinator: three are waited for where an old one may live."""


@contextlib.contextmanager
def coordinating(store: Store, lease_seconds: float, say: Callable[[str], None]) -> Iterator[None]:
    """Make this process known to others on the folder; where it is alone, what failed is tried again, and the
    claims of dead processes are void."""
    process = ProcessIdentity.own()
    seconds = min(MAX_HEARTBEAT_SECONDS, lease_seconds / HEARTBEATS_PER_LEASE)
    heartbeats = HeartbeatWriter(store.path / "coordinators", process, seconds)
    monitor = HeartbeatMonitor(heartbeats.folder, 2.5 * seconds)
    others = monitor.names()
    dead = monitor.gone(others)
    if others - dead:  # of another machine, or of a boot before: they live if their heartbeats go on
        time.sleep(3 * seconds)  # in which one that lives has written, whatever its machine's clock says
        dead |= monitor.gone(others - dead)
    for name in dead:
        monitor.forget(name)
    if others - dead:
        say(f"joining: {len(others - dead)} more at work on {store.path}")
    else:
        _tidy_up(store, process.name)
    heartbeats.start()
    try:
        yield
    finally:
        heartbeats.stop()


def _tidy_up(store: Store, name: str) -> None:
    """Forget what earlier runs of the command failed at, and release their dead workers' tasks."""
    store.forget_failures()
    # What an earlier run asked for may not be wanted any more; each stage shows its own board again.
    for board in list_names(store.path / "board"):
        boards.take_down(store, board)
    claims = Claims(store.path / "claims", name)
    standing = claims.standing()
    # No silence is long enough: a worker of another machine may still be writing.
    monitor = HeartbeatMonitor(store.path / "workers", math.inf)
    workers = monitor.names()
    dead = monitor.gone(workers)
    for claim in standing:
        if claim.worker in dead and (taken := claims.take_over(claim)):
            claims.release(taken)
    for worker in dead:
        monitor.forget(worker)
    if workers == dead:  # else it may be the scratch of one at work
        store.remove_scratch()
