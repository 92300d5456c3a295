"""A real SLURM on this machine: munged, slurmctld and two slurmd, in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isoflop.sweeps.launchers.slurm import OVER
from tests.support.optional import lacking
from tests.support.stand_in import wait_until

NODES = ("n1", "n2")

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")

MUNGE = ("socket", "key", "pid", "log", "seed")

CONFIG = """
ClusterName=isoflop
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmdPidFile={folder}/%n.pid
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdLogFile={folder}/%n.log
SlurmctldLogFile={folder}/slurmctld.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=1000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=1000
PartitionName=main Nodes=n1,n2 Default=YES PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF
"""


class SlurmCluster:
    """The running cluster; its commands find it by SLURM_CONF."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ask(self, *command: str) -> str:
        """What one of SLURM's commands prints."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_controller(self) -> None:
        """Returns once it answers."""
        self.ask("slurmctld")
        wait_until(lambda: subprocess.run(["sinfo"], capture_output=True, check=False).returncode == 0)

    def stop_controller(self) -> None:
        """As if its machine had gone down."""
        _kill(self.folder / "slurmctld.pid")

    def impatient_config(self) -> str:
        """A configuration for commands that shall not wait long for an answer."""
        path = self.folder / "impatient.conf"
        path.write_text((self.folder / "slurm.conf").read_text() + "MessageTimeout=1\n")
        return str(path)

    def jobs(self, name: str) -> dict[str, str]:
        """Id and state of the jobs of that name that are not over."""
        asked = ("squeue", "--noheader", "--array", f"--name={name}", "--format=%i %T")
        return dict(line.split() for line in self.ask(*asked).splitlines())

    def cancel(self, name: str) -> None:
        """Returns once no job of that name is left."""
        self.ask("scancel", f"--name={name}")
        wait_until(lambda: not self.jobs(name))

    def run_now(self, job: str) -> None:
        """Spares a requeued job, once its last run is over, the two minutes that SLURM lets it wait.

        Does nothing for one that has left the queue.
        """
        asked = ("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%A %T %r")
        show = lambda: self.ask(*asked).split()  # noqa: E731  # number, state, reason
        wait_until(lambda: show()[1:] == ["PENDING", "BeginTime"] or show()[1] in OVER)
        number, state, _ = show()
        if state == "PENDING":
            wait_until(lambda: not _steps(number))
            time.sleep(1.1)  # started in the second of its end, it is taken for the run that was just revoked
            asked = ("scontrol", "update", f"JobId={job}", "StartTime=now")
            done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
            # Meanwhile another worker may have done the rest, and the sweep cancelled this one.
            assert done.returncode == 0 or "already finished" in done.stderr, done.stderr


@contextlib.contextmanager
def slurm_cluster(folder: Path) -> Iterator[SlurmCluster]:
    """Starts one in the empty `folder`, and ends it. Skips the test where that can't be done."""
    _skip_without_slurm()
    cluster = SlurmCluster(folder)
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(CONFIG.format(host=host, folder=folder, ports=_free_ports(3)))
    for name in ("state", *NODES):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            # Forced: it would rather not have its socket in a folder that only this user can enter.
            files = [
                f"--{kind if kind == 'socket' else kind + '-file'}={folder}/munge.{kind}" for kind in MUNGE
            ]
            cluster.ask("munged", "--force", *files)
            cluster.start_controller()
            for node in NODES:
                cluster.ask("slurmd", "-N", node)
            wait_until(lambda: cluster.ask("sinfo", "--noheader", "--Node", "--format=%t").count("idle") >= 2)
            yield cluster
        finally:
            with contextlib.suppress(AssertionError):
                cluster.ask("scancel", f"--user={os.getuid()}")
                wait_until(lambda: not cluster.ask("squeue", "--noheader"))
            for name in (*NODES, "slurmctld", "munge"):
                _kill(folder / f"{name}.pid")


def _skip_without_slurm() -> None:
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    why = f"No {missing[0]} here." if missing else "Its daemons start as root alone." if os.getuid() else ""
    if why:
        lacking("slurm", why)


def _steps(job: str) -> list[Path]:
    """The processes that still watch over a job's steps."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"slurmstepd: [{job}." in (process / "cmdline").read_text():
                found.append(process)
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _kill(pid_file: Path) -> None:
    """Ends a daemon, and returns once it is gone."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        for _ in range(200):
            os.kill(pid, 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
