"""Weights & Biases: one run a cell, grouped by sweep; offline unless WANDB_MODE=online.

The run's id is the cell's within its group, so that a cell logged twice is one run. The client runs in a
process of its own (`isoflop.sweeps.trackers.wandb_writer`), which is killed where it gives no answer: a
server that hangs can hold up neither a sweep nor its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isoflop.base.errors import UserError
from isoflop.sweeps.row import Row
from isoflop.sweeps.trackers.wandb_run import Run, cell_run, report_run

PROJECT = "isoflop"
SERVER = "https://api.wandb.ai"
MODES = {"online": "online", "run": "online", "disabled": "disabled"}
"""What WANDB_MODE means here; anything else, and nothing, is offline."""

START_SECONDS = 60.0
"""How long W&B's client may take to start, which is mostly its import."""

ONLINE_SECONDS, OFFLINE_SECONDS = 30.0, 30.0
"""How long a run may take to be written. Its few requests take one or two."""

UPLOAD_BYTES_PER_SECOND = 250_000
"""The slowest that files may be sent."""


@dataclass(frozen=True)
class Destination:
    """`entity` is None for the login's own."""

    mode: str
    project: str
    entity: str | None

    @classmethod
    def usual(cls) -> Destination:
        """Return the one that W&B's own environment variables name."""
        mode = MODES.get(os.environ.get("WANDB_MODE", ""), "offline")
        project = os.environ.get("WANDB_PROJECT") or PROJECT
        return cls(mode, project, os.environ.get("WANDB_ENTITY") or None)

    def __str__(self) -> str:
        """The address; empty where nothing leaves the machine."""
        if self.mode != "online":
            return ""
        server = os.environ.get("WANDB_BASE_URL") or SERVER
        return f"{server} {self.entity}/{self.project}" if self.entity else f"{server} {self.project}"


class Wandb:
    """Writes runs into the folder `folder` / `wandb` and, if `to` says so, to the server.

    Out of reach, it goes on offline with one warning, unless `must_reach`: then it raises `UserError`.
    """

    def __init__(
        self,
        sweep: str,
        folder: Path,
        warn: Callable[[str], None],
        to: Destination,
        must_reach: bool = False,
    ) -> None:
        self.name, self.folder, self.warn, self.to, self.must_reach = sweep, folder, warn, to, must_reach
        self.logged = self.sent = 0
        """Runs logged, and those of them that had to be written."""
        self._writer: _Writer | None = None

    @property
    def address(self) -> str:
        return str(self.to)

    def log_cell(self, config: dict[str, Any], curve: Sequence[dict[str, Any]], row: Row) -> None:
        self._write(cell_run(self.name, config, curve, row))

    @property
    def is_live(self) -> bool:
        """Whether runs go to the server: nobody looks at files while a cell trains."""
        return self.to.mode == "online"

    log_points = log_cell

    def log_sweep(self, folder: Path, rows: Sequence[Row]) -> None:
        self._write(report_run(self.name, folder, rows))

    def close(self) -> None:
        if self._writer:
            self._writer.kill()
            self._writer = None

    def _write(self, run: Run) -> None:
        if self.to.mode == "disabled":
            return
        try:
            self._ask(run)
        except UserError as error:
            self.close()
            if self.to.mode == "offline" or self.must_reach:
                raise
            self.warn(f"{error}: logging offline; isoflop sync {self.folder} sends it later")
            self.to = Destination("offline", self.to.project, self.to.entity)
            if run.over:
                self._ask(run)

    def _ask(self, run: Run) -> None:
        found = self.folder.glob(f"wandb/offline-run-*-{run.id}")
        offline = [path for path in found if not any(path.glob("*.synced"))]
        if self.to.mode == "offline":
            for half in offline:  # of a process that was killed, or from before the cell was tried again
                shutil.rmtree(half)
        if self._writer is None:
            self._writer = _Writer(self.folder, self.to)
        sent = self._writer.ask(run)
        if not run.over:
            return
        self.sent += sent
        self.logged += 1
        if self.to.mode == "online":
            for whole in offline:
                (whole / f"run-{run.id}.wandb.synced").touch()  # W&B's own mark: `wandb sync` passes it over


class _Writer:
    """The process that has the client."""

    def __init__(self, folder: Path, to: Destination) -> None:
        self.seconds = ONLINE_SECONDS if to.mode == "online" else OFFLINE_SECONDS
        (folder / "wandb").mkdir(exist_ok=True)
        with (folder / "wandb" / "writer.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "isoflop.sweeps.trackers.wandb_writer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(folder),
                start_new_session=True,  # Ctrl-C is the sweep's to handle
                bufsize=0,
            )
        self.ready = False
        self._send({**asdict(to), "folder": str(folder.resolve()), "answer_seconds": self.seconds})

    def ask(self, run: Run) -> bool:
        """Whether the run had to be written, once it is. Raises `UserError` with W&B's reason."""
        if not self.ready:
            self._answer(START_SECONDS)
            self.ready = True
        self._send(asdict(run))
        size = sum(Path(path).stat().st_size for path in run.files.values())
        return self._answer(self.seconds + size / UPLOAD_BYTES_PER_SECOND)["sent"]

    def kill(self) -> None:
        """Ends it, whatever it does; W&B's service ends with it."""
        self.process.kill()
        self.process.communicate()

    def _send(self, value: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead: so says its answer
            self.process.stdin.write(json.dumps(value).encode() + b"\n")

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                raise UserError(f"W&B can't be reached (no answer for {seconds:.0f} s)")
        line = self.process.stdout.readline()
        if not line:
            raise UserError("W&B's client died (see wandb/writer.log in the sweep's folder)")
        answer = json.loads(line)
        if answer.get("error"):
            raise UserError(answer["error"])
        return answer


def _environment(folder: Path) -> dict[str, str]:
    # Else W&B would leave copies of artifacts in the home directory.
    given = {"WANDB_DATA_DIR": str((folder / "wandb").resolve())} | dict(os.environ)
    # Of a client in this process, say a notebook's: joined to its service, the writer can't be killed whole.
    given.pop("WANDB_SERVICE", None)
    return given


def open_tracker(sweep: str, folder: Path, warn: Callable[[str], None]) -> Wandb:
    """W&B's runs of the sweep that lies in `folder`."""
    return Wandb(sweep, folder, warn, Destination.usual())
