"""What takes long to build, built by one process of a test run and copied by the others."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """A folder of this process' own with what `build` makes of an empty one; whoever comes first builds it,
    others wait meanwhile.

    What was built may name its first place, which stays.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose folder lies in that of the whole run
        root = root.parent
    first, built = root / f"{name}-first", root / f"{name}-built"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            shutil.rmtree(first, ignore_errors=True)  # left by one that failed
            first.mkdir()
            build(first)
            built.touch()
    # Two processes' commands in one cache would read what the other has half written.
    return Path(shutil.copytree(first, factory.mktemp(name) / "own"))
