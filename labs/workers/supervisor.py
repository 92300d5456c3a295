"""Keeps a number of worker processes alive, and queues a dead one's job again at once."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from isoflop.labs.store.database import Database
from isoflop.labs.store.queue import release_jobs_of
from isoflop.labs.workers.worker import DATABASE_VARIABLE

LOOK_SECONDS = 0.25
MAX_PAUSE_SECONDS = 30.0
"""Between starts of a worker that dies again and again."""
STOP_SECONDS = 5.0


@dataclass
class _Worker:
    """A process, and what its successor needs to know. `name` is new with each start."""

    name: str = ""
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = 0.0


@dataclass
class Supervisor:
    """Worker processes of one server."""

    folder: Path
    url: str
    store: Database
    n_workers: int
    _workers: list[_Worker] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Supervisor:
        self._workers = [_Worker() for _ in range(self.n_workers)]
        for worker in self._workers:
            self._start(worker)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        for worker in self._workers:
            if worker.process is not None and worker.process.stdin is not None:
                with contextlib.suppress(OSError):
                    worker.process.stdin.close()  # which ends it
        for worker in self._workers:
            self._stop(worker)

    def pids(self) -> list[int]:
        """The living workers' process ids."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def _start(self, worker: _Worker) -> None:
        worker.name = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"
        worker.started = time.monotonic()
        worker.process = subprocess.Popen(
            [sys.executable, "-m", "isoflop.labs.workers.worker", str(self.folder), worker.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=os.environ | {DATABASE_VARIABLE: self.url},
            start_new_session=True,  # the terminal's Ctrl-C is the server's, which ends the workers
        )

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for worker in self._workers:
                if worker.process is not None and worker.process.poll() is not None:
                    self._replace_dead(worker)
                if worker.process is None and time.monotonic() >= worker.started + worker.pause:
                    self._start(worker)

    def _replace_dead(self, worker: _Worker) -> None:
        """Queues the dead worker's job again; its successor starts later the sooner it died."""
        lived = time.monotonic() - worker.started
        worker.pause = (
            0.0 if lived > MAX_PAUSE_SECONDS else min(max(1.0, 2 * worker.pause), MAX_PAUSE_SECONDS)
        )
        status = worker.process.returncode if worker.process is not None else None
        print(f"a worker ended with status {status}; its job is queued again", file=sys.stderr, flush=True)
        self._release(worker)
        worker.process = None
        worker.started = time.monotonic()

    def _stop(self, worker: _Worker) -> None:
        if worker.process is None:
            return
        try:
            worker.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        self._release(worker)

    def _release(self, worker: _Worker) -> None:
        # A database out of reach is no reason to stop watching: the lease's end queues the job again too.
        try:
            with self.store.write() as connection:
                release_jobs_of(connection, worker.name)
        except Exception as error:
            print(f"could not queue a dead worker's job again: {error}", file=sys.stderr, flush=True)
