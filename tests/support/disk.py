"""A disk that fails: it loses what was not flushed, fills up, or answers as a network does."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CALLS = ("rename", "replace", "unlink", "mkdir", "rmdir", "fsync")
"""What the tests count: every call that changes names, or flushes."""


class PowerCut(BaseException):
    """The machine is gone, in the middle of something."""


class Disk:
    """Watches the file calls on `root`. `cut`: the number of the call at which the power goes."""

    def __init__(self, root: Path, cut: int | None = None) -> None:
        self.root, self.cut, self.calls = root, cut, 0
        self.contents: dict[int, tuple[int, int]] = {}
        """inode -> (size, mtime) when it was last flushed"""
        self.names: dict[int, dict[str, tuple[int, bytes | None]]] = {}
        """inode of a folder -> name -> (inode, content of a small file) when it was last flushed"""
        for path in (root, *root.rglob("*")) if root.exists() else ():  # what is there, stays
            if path.is_dir():
                self._flushed_folder(path)
            else:
                self.contents[path.stat().st_ino] = _print(path)

    @contextlib.contextmanager
    def watched(self) -> Iterator[Disk]:
        """The calls of this process go through this disk."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                real = getattr(os, name)
                patch.setattr(os, name, lambda *a, real=real, name=name, **k: self._call(name, real, *a, **k))
            yield self

    def lose(self, draw: random.Random) -> None:
        """What a power cut may do: names and contents since the last flush are gone or torn, by chance."""
        for folder, folders, files in os.walk(self.root, topdown=False):
            kept = self.names.get(Path(folder).stat().st_ino, {})
            for name in (*files, *folders):
                path = Path(folder, name)
                inode = path.lstat().st_ino
                known = kept.get(name)
                if (known is None or known[0] != inode) and draw.random() < 0.5:
                    self._take_back(path, known)
                elif path.is_file() and self.contents.get(inode) != _print(path) and draw.random() < 0.7:
                    os.truncate(path, draw.randrange(path.stat().st_size + 1))

    def _take_back(self, path: Path, known: tuple[int, bytes | None] | None) -> None:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        if known and known[1] is not None:
            path.write_bytes(known[1])

    def _call(self, name: str, real: Any, *arguments: Any, **named: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return real(*arguments, **named)  # a beat: nobody counts on it
        if name == "fsync":
            self._flushed(arguments[0])
        elif named.get("dir_fd") is None and not str(arguments[0]).startswith(str(self.root)):
            return real(*arguments, **named)
        self.calls += 1
        if self.cut is not None and self.calls >= self.cut:
            raise PowerCut
        return self.answer(name, real, *arguments, **named)

    def answer(self, name: str, real: Any, *arguments: Any, **named: Any) -> Any:
        """What the call gives."""
        return None if name == "fsync" else real(*arguments, **named)

    def _flushed(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode):
            self.contents[status.st_ino] = (status.st_size, status.st_mtime_ns)
            return
        self._flushed_folder(Path(f"/proc/self/fd/{descriptor}").readlink())

    def _flushed_folder(self, folder: Path) -> None:
        self.names[folder.stat().st_ino] = {
            p.name: (p.lstat().st_ino, p.read_bytes() if p.is_file() and p.stat().st_size < 1e5 else None)
            for p in folder.iterdir()
        }


class FullDisk(Disk):
    """From call `cut` on there is no room, until it is made."""

    def _call(self, name: str, real: Any, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        if self.cut is not None and self.calls >= self.cut and name in ("fsync", "mkdir", "replace"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **named)


class Network(Disk):
    """Answers get lost: a rename is done and reported as failed, and listings are now and then old ones."""

    def __init__(self, root: Path, seed: int) -> None:
        super().__init__(root)
        self.draw = random.Random(seed)
        self.listings: dict[str, list[os.DirEntry[str]]] = {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[Disk]:
        real = os.scandir
        with super().watched(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "scandir", lambda path=".": self._listed(real, path))
            yield self

    def answer(self, name: str, real: Any, *arguments: Any, **named: Any) -> Any:
        given = super().answer(name, real, *arguments, **named)
        if name in ("rename", "replace") and self.draw.random() < 0.2:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(arguments[0]))
        return given

    def _listed(self, real: Any, path: Any) -> Any:
        if not str(path).startswith(str(self.root)):
            return real(path)
        if str(path) not in self.listings or self.draw.random() < 0.7:
            with real(path) as entries:
                self.listings[str(path)] = list(entries)
        return _Listing(self.listings[str(path)])


class _Listing(list[Any]):
    """What `os.scandir` gives."""

    def __enter__(self) -> _Listing:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _print(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
