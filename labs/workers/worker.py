"""One worker: takes jobs from the queue one after another, until its parent is gone.

`python -m isoflop.labs.workers.worker DIR NAME`; the database's URL is in the environment, since it may hold
a password. Standard input is the parent's: when it closes, however the parent ended, the worker ends too.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from pathlib import Path

from sqlalchemy.exc import OperationalError

from isoflop.labs.backends import load_backend
from isoflop.labs.backends.backend import Backend, Outcome
from isoflop.labs.lab import open_lab
from isoflop.labs.store.database import Database, open_database
from isoflop.labs.store.queue import LEASE_SECONDS, Job, claim, finish, has_work, heartbeat

DATABASE_VARIABLE = "ISOFLOP_LAB_DATABASE"
IDLE_SECONDS = 0.1
"""Between looks at an empty queue."""
HEARTBEAT_SECONDS = LEASE_SECONDS / 5
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)


class LeaseLostError(Exception):
    """The job is another worker's now."""


class Heartbeats:
    """Keeps a job's lease, and its losses on record, from a thread of its own while the job runs."""

    def __init__(self, store: Database, job: Job) -> None:
        self._store, self._job = store, job
        self._losses: tuple[float, ...] = ()
        self._lost = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeats:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def report(self, val_losses: tuple[float, ...]) -> None:
        """Records the losses so far. Raises `LeaseLostError` where the job is no longer this worker's."""
        self._losses = val_losses
        self._send()
        if self._lost:
            raise LeaseLostError

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            self._send()

    def _send(self) -> None:
        try:
            with self._store.write() as connection:
                self._lost = self._lost or not heartbeat(connection, self._job, self._losses)
        except OperationalError as error:  # the next one says it all again
            print(f"no heartbeat: {error.orig}", file=sys.stderr, flush=True)


def run_jobs(store: Database, backend: Backend, name: str) -> None:
    """Runs jobs until the process ends."""
    while True:
        if not run_next(store, backend, name):
            time.sleep(IDLE_SECONDS)


def run_next(store: Database, backend: Backend, name: str) -> bool:
    """Runs the next job, if there is one."""
    with store.read() as connection:
        if not has_work(connection):
            return False
    with store.write() as connection:
        job = claim(connection, name)
    if job is None:
        return False
    with Heartbeats(store, job) as heartbeats:
        try:
            outcome = _outcome(backend, job, heartbeats)
        except LeaseLostError:
            return True
        _record(store, job, outcome)
    return True


def _record(store: Database, job: Job, outcome: Outcome) -> None:
    """Records how a job ended, again and again while the database is out of reach for a moment."""
    for pause in (*RETRY_SECONDS, None):
        try:
            with store.write() as connection:
                finish(connection, job, outcome)
            return
        except OperationalError:
            if pause is None:
                raise
            time.sleep(pause)


def _outcome(backend: Backend, job: Job, heartbeats: Heartbeats) -> Outcome:
    started = time.monotonic()
    try:
        return backend.train(job.student, job.config, heartbeats.report)
    except LeaseLostError:
        raise
    except Exception as error:
        # The student is told no more than the kind: a message may hold what is not theirs.
        traceback.print_exc()
        failure = f"the lab's backend failed ({type(error).__name__}): tell your instructor"
        return Outcome(time.monotonic() - started, (), failure)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Runs the worker that the command line names."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lab = open_lab(Path(sys.argv[1]))
    store = open_database(os.environ.get(DATABASE_VARIABLE) or lab.default_database, lab.settings.lab_id)
    run_jobs(store, load_backend(lab), sys.argv[2])


if __name__ == "__main__":
    main()
