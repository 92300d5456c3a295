"""Files and folders that appear whole, survive a power cut, and show whether they were damaged since.

A folder's manifest, `checksums.json`, holds the size and SHA-256 of every file in it. All files are flushed
to the disk before the one rename that makes the folder appear, and the rename itself after it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isoflop.base.errors import UserError

MANIFEST = "checksums.json"


class CorruptRecordError(Exception):
    """A folder that is not what was written. `path`: the folder; `why`: what is wrong with it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


class DiskFullError(UserError):
    """No space is left for what is to be written to a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"no disk space left in {folder}: make room and run the same command again")


def is_full(error: BaseException) -> bool:
    """Return whether an error means that the disk, or the user's quota of it, is full."""
    # NumPy raises an OSError without a number: "N requested and M written".
    signs = ("No space left", "Disk quota exceeded", "requested and")
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(
        sign in str(error) for sign in signs
    )


def write(path: Path, text: str, *, flush: bool = True) -> None:
    """Make or replace a file in one step; with `flush` it is on the disk when this returns."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with scratch.open("w") as file:
            file.write(text)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        _rename(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    if flush:
        sync(path.parent)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A scratch folder beside `path` that becomes `path` in one rename, or nothing if the body fails.

    Where another process got there first, its folder stands and ours goes: both hold the same content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield scratch
        if not path.exists():
            scratch.chmod(0o755)
            write_manifest(scratch)
            move(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_manifest(folder: Path) -> None:
    """Write the manifest of a folder and flush all that is in it to the disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    entries = {str(path.relative_to(folder)): _fingerprint(path) for path in files}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"files": entries, "digest": _digest(entries)}))
    for path in (*files, manifest):
        sync(path)
    for path in (*(p for p in folder.rglob("*") if p.is_dir()), folder):
        sync(path)


def move(source: Path, target: Path) -> bool:
    """Rename a folder unless a folder with content has that name; return whether it was renamed."""
    try:
        _rename(source, target)
    except OSError:
        if target.exists():  # ENOTEMPTY, by any of its numbers
            return False
        raise
    sync(target.parent)
    return True


def _rename(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError:
        # A network file system may lose its answer and fail its own second try: then the source is gone.
        if source.exists():
            raise


def verify(folder: Path) -> None:
    """Raise `CorruptRecordError` if the folder's files are not those of its manifest."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        entries = manifest["files"]
        if manifest["digest"] != _digest(entries):
            raise CorruptRecordError(folder, f"{MANIFEST} has changed")
        for name, (size, digest) in entries.items():
            if _fingerprint(folder / name) != [size, digest]:
                raise CorruptRecordError(folder, f"{name} has changed")
    except FileNotFoundError as error:
        raise CorruptRecordError(folder, f"{Path(error.filename).name} is missing") from error
    except (ValueError, KeyError, TypeError, AttributeError, NotADirectoryError) as error:
        raise CorruptRecordError(folder, f"{MANIFEST} can't be read ({type(error).__name__})") from error


def list_names(path: Path) -> list[str]:
    """Return the names of a folder's entries but for hidden ones; none where there is no folder."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, where the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some network file systems flush no folders, and need none flushed
            raise
    finally:
        os.close(descriptor)


def _fingerprint(path: Path) -> list[Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return [file.tell(), digest]


def _digest(entries: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
