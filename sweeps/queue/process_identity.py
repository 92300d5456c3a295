"""Who a process is, and whether a process of this machine still lives."""

from __future__ import annotations

import os
import platform
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessIdentity:
    """A process among all that may work on one folder.

    `name` is unique. `machine`: its boot and process namespace, empty where the system doesn't say;
    `started`: the kernel's time of the process' start, which a later process of the same `pid` doesn't share.
    """

    name: str
    host: str
    pid: int
    machine: str
    started: str

    @classmethod
    def own(cls) -> ProcessIdentity:
        """This process', another name at each call."""
        host, pid = platform.node() or "host", os.getpid()
        name = f"{host.replace('~', '-')}-{pid}-{secrets.token_hex(3)}"
        return cls(name, host, pid, _machine(), _started(pid) or "")

    def is_dead(self) -> bool:
        """Whether it is known to be gone; False where only its silence could show it."""
        if not self.machine or self.machine != _machine():
            return False
        return _started(self.pid) != self.started


def _machine() -> str:
    # After another boot, or in another container, the same pid is another process.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """The kernel's start time of a living process, in ticks since the boot; None of a dead one."""
    # The second field, the command's name in brackets, may hold blanks and brackets itself: the others are
    # counted from its end on, the state first and the start time, the 22nd of proc(5), at 19.
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
