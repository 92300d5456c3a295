"""SLURM, through submitit: workers as the elements of job arrays, requeued when they are preempted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from isoflop.base.errors import UserError
from isoflop.sweeps.launchers.options import read_options
from isoflop.sweeps.launchers.pool import WorkerPool
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers import child
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution

POLL_SECONDS = 5.0
"""Least time between two questions to the scheduler, which serves the whole cluster."""

ANSWER_SECONDS = 30.0
"""What a question to the scheduler may take."""

SILENT_SECONDS = 600.0
"""The longest that a scheduler which doesn't answer is waited for while no worker is at work."""

QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
"""States of a job that has yet to run."""

REQUEUE_SECONDS = 10.0
"""The part of the grace time that is left for queueing the job again."""

OVER = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("BOOT_FAIL", "DEADLINE", "PREEMPTED", "REVOKED"),
}
"""States of a job that will not run again; COMPLETING may be one that is queued again."""

MAX_TIMEOUTS = 1_000_000
"""A worker that finds nothing to do ends by itself: how often its time ran out says nothing."""


@dataclass(frozen=True)
class SlurmOptions:
    """What a worker asks of the cluster; what is left empty is the cluster's default."""

    workers: int = 4
    """Workers at the same time, at most."""
    time: int = 240
    """Minutes before a worker saves what it has and is queued again."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    gpus: int = -1
    """GPUs a node; by default a node's share of the devices, and none for a platform without."""
    cpus: int = 0
    """Cores a node; by default one a device on CPUs and four a GPU."""
    mem: str = ""
    """Memory a node, as sbatch takes it: 16G."""
    signal_delay: int = 120
    """Seconds before the end at which SLURM warns: the grace time for a checkpoint."""
    sbatch: dict[str, str] = field(default_factory=dict)
    """Further options of sbatch by their long names, without dashes in front."""
    setup: tuple[str, ...] = ()
    """Shell lines that run on the node before the worker: `module load cuda`."""

    def __post_init__(self) -> None:
        for name in ("workers", "time", "signal_delay"):
            if getattr(self, name) < 1:
                raise UserError(f"launcher option {name}={getattr(self, name)} must be at least 1")


class Job(NamedTuple):
    """A worker's job as the queue shows it. `status`: what its worker ended with; `reason`: why it waits."""

    state: str
    status: int
    reason: str = ""


def refuse_missing(execution: Execution) -> None:
    """Raises `UserError` where submitit or SLURM's commands are not installed, or the scheduler doesn't
    answer."""
    if not shutil.which("sbatch"):
        raise UserError("no SLURM here (sbatch is not on the PATH): run on a login node, or --launcher local")
    try:
        import submitit  # noqa: F401  # pyright: ignore[reportUnusedImport]  # only whether it is there
    except ImportError as error:
        raise UserError("the launcher slurm needs submitit: pip install 'isoflop[slurm]'") from error
    _ask(["sinfo", "--noheader", "--summarize"])


def open_launcher(store: Store, worker_options: WorkerOptions, options: str = "") -> SlurmLauncher:
    """The cluster that this machine submits to, for the sweep in `store`.

    Raises `UserError` where submitit or SLURM's commands are not installed, or the scheduler doesn't answer.
    """
    refuse_missing(worker_options.execution)
    return SlurmLauncher(store, worker_options, read_options(SlurmOptions, "slurm", options))


class SlurmLauncher(WorkerPool):
    """Workers as jobs of the queue, known by a name made from the folder's path."""

    def __init__(self, store: Store, worker_options: WorkerOptions, settings: SlurmOptions) -> None:
        self.folder = store.path.resolve()
        self.logs = self.folder / "slurm"
        super().__init__(store, worker_options, self.logs)
        self.settings, self.name = settings, job_name(self.folder)
        self.jobs = _queue(self.name)
        self.workers: dict[str, Job] = _not_over(self.jobs)  # an earlier coordinator's are this one's now
        self.next_poll, self.answered = 0.0, time.monotonic()
        self.no_answer = ""
        """Why the scheduler does not answer; empty while it does."""

    @property
    def worker_count(self) -> int:
        return self.settings.workers

    @property
    def waiting(self) -> str:
        if self.no_answer:
            return self.no_answer if time.monotonic() - self.answered < SILENT_SECONDS else ""
        jobs = self.workers.values()
        if not jobs or any(job.state not in QUEUED for job in jobs):
            return ""
        reasons = ", ".join(sorted({job.reason for job in jobs if job.reason}))
        return f"{len(jobs)} workers are queued on SLURM{f' ({reasons})' if reasons else ''}"

    def scale(self, wanted: int) -> list[str]:
        if time.monotonic() < self.next_poll:
            return []
        self.next_poll = time.monotonic() + POLL_SECONDS
        try:
            self.jobs = _queue(self.name)
        except UserError as error:
            lines = [] if self.no_answer else [str(error)]
            self.no_answer = str(error)
            return lines
        self.answered, self.no_answer = time.monotonic(), ""
        return super().scale(wanted)

    def reap(self) -> list[str]:
        known, self.workers = self.workers, _not_over(self.jobs)
        return [line for i in sorted(known.keys() - self.workers) if (line := self._exit_line(i))]

    def _exit_line(self, i: str) -> str:
        """What there is to say of a job that ended, if it did not complete."""
        job = self.jobs.get(i, self.jobs.get(i.partition("_")[0]))  # SLURM drops what never began
        if job is None:  # and forgets the others after some minutes; what a worker gave as its result stays
            result = self.logs / f"{i}_0_result.pkl"
            job = Job("COMPLETED" if result.exists() else "no longer in the queue", 0)
        why = self.exit_message(job.status) or f"is {job.state}"
        if job.state == "COMPLETED":
            return ""
        return f"the worker of SLURM job {i} {why} (see {self.logs / i}_0_log.out)"

    def start(self, count: int) -> list[str]:
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = submitit.SlurmExecutor(self.logs, max_num_timeout=MAX_TIMEOUTS)
        asked = parameters(self.settings, self.worker_options.execution)
        executor.update_parameters(**asked, job_name=self.name)
        grace = max(1.0, self.settings.signal_delay - REQUEUE_SECONDS)
        worker = WorkerJob(self.folder, self.worker_options, grace)
        try:
            with _outside_of_jobs(), executor.batch():
                jobs = [executor.submit(worker) for _ in range(count)]
        except (FailedJobError, FailedSubmissionError, subprocess.SubprocessError, OSError) as error:
            last = next((line for line in reversed(str(error).splitlines()) if "error" in line), str(error))
            line = f"sbatch refuses the workers ({last.strip()}): change --launcher-options"
            if not self.workers and not self.backoff.early_exits:
                raise UserError(line) from error
            self.backoff.record(failed=True, alive=bool(self.workers))
            return [line]
        self.workers |= {job.job_id: Job("PENDING", 0) for job in jobs}
        return []

    def close(self) -> None:
        """Raises nothing: a scheduler that is gone has no workers to end."""
        deadline = time.monotonic() + self.settings.signal_delay
        with contextlib.suppress(UserError):
            while jobs := _not_over(_queue(self.name)):
                if time.monotonic() > deadline:
                    _cancel(list(jobs))
                    return
                # Of a running job only the steps are signalled: cancelled, it would have no more than the
                # cluster's KillWait to save its work. A step that has not begun gets the next signal.
                _cancel([i for i, job in jobs.items() if job.state == "RUNNING"], "--signal=TERM")
                _cancel([i for i, job in jobs.items() if job.state == "PENDING"])
                time.sleep(min(2.0, POLL_SECONDS))


class WorkerJob:
    """What a job runs: a worker as its child, sent the scheduler's signals in time to save its work.

    `grace`: seconds that it has. Checkpointable as submitit means it: a warned job is queued again.
    """

    def __init__(self, folder: Path, worker_options: WorkerOptions, grace: float) -> None:
        self.folder, self.worker_options, self.grace = folder, worker_options, grace
        self.process: subprocess.Popen[bytes] | None = None
        self.leaving = False

    def __call__(self) -> None:
        signal.signal(signal.SIGTERM, self._terminate)
        if os.environ["SLURM_PROCID"] != "0":  # submitit acts on its warning in the first process alone
            signal.signal(signal.SIGUSR2, self._terminate)
        self.process = child.start(
            self.folder, self.worker_options, more=_several_processes(self.worker_options.execution)
        )
        if self.leaving:  # the signal came before there was a worker
            self._leave()
        # Waited for by another thread, so that a handler that runs in this one can wait for it too.
        waiting = threading.Thread(target=self.process.wait)
        waiting.start()
        waiting.join()
        if (code := self.process.returncode) not in child.LEFT_BY:
            sys.exit(code if code > 0 else 128 - code)  # what the queue then shows

    def checkpoint(self) -> Any:
        """What is queued again, once the worker has left."""
        from submitit.helpers import DelayedSubmission

        self._leave()
        return DelayedSubmission(type(self)(self.folder, self.worker_options, self.grace))

    def _leave(self) -> None:
        self.leaving = True
        if self.process is not None:
            child.leave(self.process, self.grace)

    def _terminate(self, number: int, frame: Any) -> None:
        """Queues a preempted job again: SLURM itself does so only with one that waits to be killed."""
        signal.signal(number, signal.SIG_IGN)
        self._leave()
        if os.environ["SLURM_PROCID"] == "0" and number == signal.SIGTERM:
            from submitit import JobEnvironment

            job = JobEnvironment().job_id
            if _is_preempted(_ask(["scontrol", "show", "job", job])):
                _ask(["scontrol", "requeue", job])


def job_name(folder: Path) -> str:
    """The name of the jobs of the sweep in that folder, the same whoever submits them from wherever."""
    mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    return f"isoflop-{re.sub(r'[^A-Za-z0-9.-]', '-', folder.name)}-{mark}"


def parameters(settings: SlurmOptions, execution: Execution) -> dict[str, Any]:
    """What a worker's job asks for, as submitit takes it."""
    cpus, gpus = child.cores_and_gpus(execution, settings.cpus, settings.gpus)
    texts = ("partition", "account", "qos", "constraint", "mem")
    return {
        **{name: getattr(settings, name) for name in texts if getattr(settings, name)},
        **({"gpus_per_node": gpus} if gpus else {}),
        "time": settings.time,
        "nodes": execution.nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": cpus,
        # Since SLURM 22.05 a step doesn't inherit its job's cores.
        "srun_args": [f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1"],
        "array_parallelism": settings.workers,
        "signal_delay_s": settings.signal_delay,
        "setup": list(settings.setup),
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **settings.sbatch},
    }


def _several_processes(execution: Execution) -> dict[str, str]:
    """Where the processes of a worker on several nodes find each other."""
    if execution.nodes == 1:
        return {}
    port = 61440 + int(os.environ["SLURM_JOB_ID"]) % 4096  # above the range that systems give out
    return {
        "ISOFLOP_COORDINATOR": f"{os.environ['SLURM_LAUNCH_NODE_IPADDR']}:{port}",
        "ISOFLOP_PROCESS_ID": os.environ["SLURM_PROCID"],
        "ISOFLOP_PROCESSES": os.environ["SLURM_NTASKS"],
    }


def _queue(name: str) -> dict[str, Job]:
    """This user's jobs of that name by id, an array's one by one, also those that ended minutes ago."""
    asked = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", f"--name={name}"]
    # The reason stands last: it alone may hold blanks.
    lines = _ask([*asked, "--Format=JobArrayID: ,State: ,exit_code: ,Reason: "]).splitlines()
    jobs = {}
    for line in filter(str.strip, lines):
        i, state, status, *reason = line.split(maxsplit=3)
        why = "".join(reason).strip()
        jobs[i] = Job(state, os.waitstatus_to_exitcode(int(status)), "" if why == "None" else why)
    return jobs


def _not_over(jobs: Mapping[str, Job]) -> dict[str, Job]:
    return {i: job for i, job in jobs.items() if job.state not in OVER}


def _cancel(jobs: Sequence[str], *flags: str) -> None:
    if jobs:
        with contextlib.suppress(UserError):  # they may just have ended
            _ask(["scancel", *flags, *jobs])


def _is_preempted(shown: str) -> bool:
    """Whether `scontrol show job` shows a job that still runs and must make room."""
    return "JobState=RUNNING" in shown and bool(re.search(r" PreemptTime=\d", shown))


def _ask(command: list[str]) -> str:
    """What one of SLURM's commands answers. `UserError` where it doesn't."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"SLURM does not answer ({command[0]}: {error})") from error
    if done.returncode:
        raise UserError(f"SLURM does not answer ({(done.stderr.strip() or command[0]).splitlines()[-1]})")
    return done.stdout


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hides the job that this process may itself run in, whose settings sbatch would take over."""
    ours = [n for n in os.environ if n.startswith(("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_"))]
    hidden = {name: os.environ.pop(name) for name in ours if name != "SLURM_CONF"}
    try:
        yield
    finally:
        os.environ.update(hidden)
