"""Who holds which task, by names alone: claims in a folder, on any file system with atomic renames.

claims/TASK/EPOCH~WORKER    the worker has the task; EPOCH - 1 workers had it before and died

A task is taken by renaming a folder of one's own onto `claims/TASK`, which only succeeds where no folder with
content is; a dead worker's task is taken over by renaming its one file, which only succeeds for one. No lock
is needed, and no answer of the server's is believed: whoever renamed looks whether its file is there.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from isoflop.base.durable import list_names


@dataclass(frozen=True)
class Claim:
    """A worker's hold on a task. `epoch`: 1 for its first worker."""

    task: str
    worker: str
    epoch: int

    @property
    def name(self) -> str:
        """The name of the claim's file."""
        return f"{self.epoch}~{self.worker}"


class Claims:
    """The claims in the folder `path`, taken in the name of `worker`."""

    def __init__(self, path: Path, worker: str) -> None:
        self.path, self.worker = path, worker

    def take(self, task: str) -> Claim | None:
        """Return the claim on a task that nobody holds; None if somebody does."""
        claim = Claim(task, self.worker, 1)
        # The claim is in the folder before the folder has the task's name: a rename replaces an empty folder,
        # which a release may have left, and fails on one that holds a claim. Of several workers one succeeds.
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
        """Return the claim taken over from a worker that is gone; None if another was faster."""
        claim = Claim(dead.task, self.worker, dead.epoch + 1)
        # The old name is gone with the rename, so that one of several succeeds. Should the worker not be dead
        # after all, it finds its claim gone and files nothing.
        with contextlib.suppress(OSError):
            self._file(dead).rename(self._file(claim))
        return claim if self.held(claim) else None

    def held(self, claim: Claim) -> bool:
        """Whether the claim still stands."""
        return self._file(claim).exists()

    def release(self, claim: Claim) -> bool:
        """Give a claim up; return whether it still stood."""
        try:
            self._file(claim).unlink()
        except FileNotFoundError:
            return False
        # From the unlink on the task is free. The folder that is left is only tidied away.
        with contextlib.suppress(OSError):  # taken by another in the meantime
            (self.path / claim.task).rmdir()
        return True

    def standing(self) -> list[Claim]:
        """Return all claims."""
        found = []
        # Not one moment's state: claims come and go meanwhile. Whoever acts on it does so by a rename, which
        # fails where it holds no more.
        for task in list_names(self.path):
            for name in list_names(self.path / task):
                epoch, _, worker = name.partition("~")
                if epoch.isdigit() and worker:
                    found.append(Claim(task, worker, int(epoch)))
        return found

    def _file(self, claim: Claim) -> Path:
        return self.path / claim.task / claim.name
