"""Who is at what, by names alone: claims on a folder that any file system with atomic renames keeps apart.

claims/TASK/EPOCH~WORKER    the worker has the task; EPOCH - 1 workers had it before and died

A task is taken by renaming a folder of one's own onto `claims/TASK`, which only succeeds where no folder with
content is; a dead worker's task is taken over by renaming its one file, which only succeeds for one. No lock
is needed, and no answer of the server's is believed: whoever renamed looks whether its file is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Claim:
    """A worker's hold on a task. `epoch`: 1 for its first worker."""

    task: str
    worker: str
    epoch: int

    @property
    def name(self) -> str:
        """Of the claim's file."""
        return f"{self.epoch}~{self.worker}"


class Claims:
    """The claims in the folder `path`, taken in the name of `worker`."""

    def __init__(self, path: Path, worker: str) -> None:
        self.path, self.worker = path, worker

    def take(self, task: str) -> Claim | None:
        """The claim on a task that nobody holds; None if somebody does."""
        claim = Claim(task, self.worker, 1)
        own = self.path / f".{self.worker}"
        own.mkdir(parents=True, exist_ok=True)
        (own / claim.name).touch()
        with contextlib.suppress(OSError):
            own.rename(self.path / task)
        if self.held(claim):  # asked of the folder: a network's answer to the rename may have been lost
            return claim
        shutil.rmtree(own, ignore_errors=True)
        return None

    def take_over(self, dead: Claim) -> Claim | None:
        """The claim of a worker that is gone, unless another was faster."""
        claim = Claim(dead.task, self.worker, dead.epoch + 1)
        with contextlib.suppress(OSError):
            self._file(dead).rename(self._file(claim))
        return claim if self.held(claim) else None

    def held(self, claim: Claim) -> bool:
        """Whether the claim still stands."""
        return self._file(claim).exists()

    def release(self, claim: Claim) -> bool:
        """Gives a claim up; whether it still stood."""
        try:
            self._file(claim).unlink()
        except FileNotFoundError:
            return False
        with contextlib.suppress(OSError):  # taken by another in the meantime
            (self.path / claim.task).rmdir()
        return True

    def standing(self) -> list[Claim]:
        """All claims."""
        found = []
        for task in names(self.path):
            for name in names(self.path / task):
                epoch, _, worker = name.partition("~")
                if epoch.isdigit() and worker:
                    found.append(Claim(task, worker, int(epoch)))
        return found

    def _file(self, claim: Claim) -> Path:
        return self.path / claim.task / claim.name


def names(path: Path) -> list[str]:
    """Names of the entries of a folder, but for hidden ones; none where there is no folder."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
