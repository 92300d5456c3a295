"""The lab's command in a process of its own, killed and started again on the same port."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.processes import environment
from isoflop.labs.lab import Lab

START_SECONDS = 60.0
"""What a start may take."""
PAUSES = (0.2, 1.2)
"""Seconds between a kill and the next one, at least and at most."""


class LabServer:
    """`isoflop lab serve`, with its workers."""

    def __init__(self, lab: Lab, database: str, n_workers: int) -> None:
        self.lab, self.database, self.n_workers = lab, database, n_workers
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> LabServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(START_SECONDS)

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.lab.folder / "server.log"

    def start(self) -> None:
        """Starts it, and returns once it answers."""
        command = ["-m", "isoflop", "lab", "serve", str(self.lab.folder)]
        options = ["--port", str(self.port), "--workers", str(self.n_workers)]
        with self.log.open("ab") as printed:
            self.process = subprocess.Popen(
                [sys.executable, *command, *options],
                stdout=printed,
                stderr=subprocess.STDOUT,
                env=environment({"ISOFLOP_LAB_DATABASE": self.database}),
            )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise SystemExit(f"benchmarks.lab_load: the lab does not start: {self.log.read_text()}")
            time.sleep(0.02)

    def kill(self) -> float:
        """Kills it and starts it again; seconds until it answers."""
        began = time.monotonic()
        self.process.kill()
        self.process.wait()
        self.start()
        return time.monotonic() - began

    def kill_worker(self, draw: random.Random) -> bool:
        """Kills one of its workers; False where none is alive just now."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        pids = [int(pid) for pid in found.stdout.split()]
        if not pids:
            return False
        try:
            os.kill(draw.choice(pids), signal.SIGKILL)
        except ProcessLookupError:  # it has ended since
            return False
        return True

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/static/page.css")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def kill_at_random(server: LabServer, n_kills: int, draw: random.Random) -> list[float]:
    """Kills the server, with which its workers end, and one worker, in turn, at random moments; of the
    server's kills, the seconds until it answered."""
    outages = []
    for number in range(n_kills):
        time.sleep(draw.uniform(*PAUSES))
        if number % 2 == 0 or not server.kill_worker(draw):
            outages.append(server.kill())
    return outages
