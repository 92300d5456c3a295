"""Where a result comes from: versions, commit, machine, time. Nothing here imports what it names."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from isoflop.base import durable
from isoflop.base.json_values import Serializable

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy")
"""Those whose versions may move a number."""

LOG = "provenance.jsonl"
"""One line for each start of a command that trains, in a sweep's folder."""


@dataclass(frozen=True)
class Provenance(Serializable):
    """What made a result. `commit`: of the checkout that the code lies in, with `-dirty` where its files
    have changed since; None from a wheel. `packages`: version by name, None where not installed. `time`: UTC.
    """

    isoflop: str
    commit: str | None
    python: str
    packages: dict[str, str | None]
    platform: str
    processor: str
    host: str
    time: str

    @property
    def version(self) -> str:
        """The version of isoflop and, from a checkout, its commit: `0.1.0+g1234567.dirty` (PEP 440)."""
        if self.commit is None:
            return self.isoflop
        commit, _, dirty = self.commit.partition("-")
        return f"{self.isoflop}+g{commit[:7]}{'.dirty' if dirty else ''}"


def provenance() -> Provenance:
    """This process' own, now. What can't be found out is None or empty, and never an error."""
    return Provenance(
        isoflop=version("isoflop") or "unknown",
        commit=_commit(Path(__file__).resolve().parents[1]),
        python=platform.python_version(),
        packages={name: version(name) for name in PACKAGES},
        platform=platform.platform(),
        processor=_processor(),
        host=platform.node(),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@cache
def version(package: str) -> str | None:
    """The version of an installed package, without importing it; None where it isn't installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def log_start(folder: Path, command: Iterable[str]) -> None:
    """Adds a line to the folder's log: who started what, with which versions.

    Several processes may add at once. A line that a crash cut short is ended first: it spoils no other.
    """
    entry = provenance().to_json() | {"command": list(command)}
    path = folder / LOG
    cut = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if cut else "") + json.dumps(entry) + "\n")
    durable.sync(path)


@cache
def _commit(root: Path) -> str | None:
    """The commit of the checkout at `root`; None where there is none, or no git to ask."""
    if not (root / ".git").exists():
        return None
    # Within a hook or an alias git names another repository in these.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit


@cache
def _processor() -> str:
    """The processor's name and the count of its cores, as far as the system gives them."""
    name = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{name}, {os.cpu_count() or '?'} cores"
