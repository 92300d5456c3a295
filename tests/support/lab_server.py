"""A lab served by the command, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from isoflop.labs.lab import Lab

SECONDS = 60.0
"""What takes longer hangs."""
LONGEST_WAIT = 2
"""Seconds that a call may ask a client to wait for its turn; a guesser of keys is told more."""

TRIES = 10


class Client(httpx.Client):
    """A client that waits for its turn where it has called too often, as a good one does."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """The answer, of a later try where the first was too early."""
        answer = super().send(request, **options)
        for _ in range(TRIES):
            if answer.status_code != 429 or (wait := int(answer.headers["Retry-After"])) > LONGEST_WAIT:
                break
            time.sleep(wait)
            answer = super().send(request, **options)
        return answer


@dataclass(frozen=True)
class Server:
    """A running server. `log`: what it printed."""

    lab: Lab
    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def client(self, student: str) -> httpx.Client:
        """A client with this student's key."""
        return self.anyone(self.lab.keys()[student])

    def anyone(self, key: str | None) -> httpx.Client:
        """A client with any key, or none."""
        headers = {} if key is None else {"X-API-Key": key}
        return Client(base_url=self.address, headers=headers, timeout=SECONDS, trust_env=False)

    def worker_pids(self) -> list[int]:
        """The processes that run this server's jobs."""
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]


@contextmanager
def serving(
    lab: Lab, url: str | None = None, workers: int = 1, stop: int = signal.SIGTERM
) -> Iterator[Server]:
    """Serves a lab on a free port; stopped by a signal at the end."""
    log = lab.folder / "server.log"
    options = ["--port", "0", "--workers", str(workers), *([] if url is None else ["--database", url])]
    with log.open("ab") as printed:
        began = printed.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "isoflop", "lab", "serve", str(lab.folder), *options],
            stdout=printed, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2],
            env={name: value for name, value in os.environ.items() if name != "ISOFLOP_LAB_DATABASE"},
        )  # fmt: skip
    try:
        yield Server(lab, _address(process, log, began), process, log)
    finally:
        process.send_signal(stop)
        process.wait(SECONDS)


def _address(process: subprocess.Popen[bytes], log: Path, began: int) -> str:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        printed = log.read_bytes()[began:].decode()
        if found := re.search(r"the lab is at (\S+);", printed):
            return found[1]
        assert process.poll() is None, printed
        time.sleep(0.02)
    raise AssertionError(f"{SECONDS} seconds without a server")


def finished(client: httpx.Client, experiment_id: int) -> dict[str, Any]:
    """An experiment's status once it has ended."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        answer = client.get(f"/experiment/{experiment_id}")
        if answer.status_code == 200 and answer.json()["status"]["status_type"] in ("completed", "failed"):
            return answer.json()["status"]
        time.sleep(0.1)
    raise AssertionError(f"{SECONDS} seconds without an end of {experiment_id}")
