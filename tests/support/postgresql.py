"""A PostgreSQL server of the tests' own, on a socket in a folder, gone when they end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.optional import lacking

USER = "postgres"


def _tool(name: str) -> str:
    """Debian keeps the server's own tools outside the PATH."""
    found = [*sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True), shutil.which(name)]
    if found[0] is None:
        lacking("postgresql", f"no {name}")
    return str(found[0])


def _as_user(*command: str) -> None:
    """The server refuses to run as root."""
    switch = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*switch, *command], capture_output=True, text=True, check=False, timeout=60, cwd="/"
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@contextmanager
def postgresql() -> Iterator[Path]:
    """The folder of a running server's socket. It keeps nothing on the disk for sure: tests need no fsync."""
    initdb, pg_ctl = _tool("initdb"), _tool("pg_ctl")
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        data = str(folder / "data")
        _as_user(initdb, "-D", data, "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
        _as_user(pg_ctl, "-D", data, "-w", "-t", "50", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield folder
        finally:
            _as_user(pg_ctl, "-D", data, "-w", "-m", "immediate", "stop")


def new_database(socket: Path, name: str) -> str:
    """The URL of a new, empty database."""
    _as_user(_tool("createdb"), "-h", str(socket), "-U", USER, name)
    return f"postgresql://{USER}@/{name}?host={socket}"
