"""The SLURM launcher against a real SLURM of two nodes on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.sweeps.launchers import pool, slurm
from isoflop.sweeps.launchers.slurm import SlurmLauncher, SlurmOptions, job_name, open_launcher, parameters
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers.child import FULL, REFUSED
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution
from tests.support.slurm_cluster import SlurmCluster, slurm_cluster
from tests.support.stand_in import StandIn, StandInJob, wait_until

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Two nodes of two cores."""
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


class OnSlurm(StandIn):
    """A sweep's folder whose workers are the stand-in's."""

    def __init__(self, folder: Path, cluster: SlurmCluster) -> None:
        super().__init__(folder)
        self.cluster, self.name = cluster, job_name(folder.resolve())

    def launcher(self, options: str = "", execution: Execution = Execution(platform="cpu")) -> SlurmLauncher:
        """Another coordinator's."""
        return open_launcher(Store(self.folder), WorkerOptions(execution), options)

    def look(self, launcher: SlurmLauncher, wanted: int) -> list[str]:
        """`scale`, without the time that is left between two questions."""
        launcher.next_poll = 0.0
        return launcher.scale(wanted)

    def jobs(self) -> dict[str, str]:
        """Id and state of its jobs."""
        return self.cluster.jobs(self.name)


@pytest.fixture(scope="module")
def warned(cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> OnSlurm:
    """A worker whose time runs out while the other tests run: SLURM counts in minutes."""
    stand_in = OnSlurm(tmp_path_factory.mktemp("warned"), cluster)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slurm, "WorkerJob", StandInJob)
        stand_in.launcher("workers=1,time=1,signal_delay=55,sbatch.nodelist=n2").scale(1)
    return stand_in


@pytest.fixture
def stand_in(
    tmp_path: Path, cluster: SlurmCluster, warned: OnSlurm, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OnSlurm]:
    """A folder without workers, whose jobs start the stand-in."""
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(pool, "PAUSE_SECONDS", (0.5, 600.0))
    monkeypatch.setattr(slurm, "WorkerJob", StandInJob)
    here = OnSlurm(tmp_path, cluster)
    yield here
    cluster.cancel(here.name)


@slow
def test_an_array_of_workers_is_kept_at_its_size(stand_in: OnSlurm) -> None:
    launcher = stand_in.launcher("workers=3")
    assert launcher.worker_count == 3
    assert launcher.scale(2) == []
    started = stand_in.await_events("start", 2)
    assert {name.partition("_")[2] for name in stand_in.jobs()} == {"0", "1"}, "one array"
    assert len({line["SLURM_JOB_ID"] for line in started}) == 2
    assert {line["NPROC"] for line in started} == {line["SLURM_CPUS_PER_TASK"] for line in started} == {"1"}
    assert stand_in.look(launcher, 2) == []
    assert len(stand_in.jobs()) == 2
    assert stand_in.look(launcher, 10) == []
    assert len(stand_in.jobs()) == 3, "never more than there may be"
    stand_in.await_events("start", 3)
    launcher.settings = replace(launcher.settings, workers=4, sbatch={"begin": "now+1hour"})
    assert stand_in.look(launcher, 10) == []
    assert sorted(stand_in.jobs().values()) == ["PENDING", *["RUNNING"] * 3]
    launcher.close()
    assert stand_in.jobs() == {}
    assert len(stand_in.events("left")) == 3
    assert {line["name"] for line in stand_in.events("signal")} == {"SIGTERM"}


@slow
def test_workers_that_are_queued_are_waited_for_and_it_says_why(stand_in: OnSlurm) -> None:
    launcher = stand_in.launcher("workers=1,sbatch.begin=now+1hour")
    launcher.scale(1)
    assert launcher.waiting == "1 workers are queued on SLURM"
    stand_in.look(launcher, 1)
    assert launcher.waiting == "1 workers are queued on SLURM (BeginTime)"
    launcher.settings = replace(launcher.settings, workers=2, sbatch={})
    stand_in.look(launcher, 2)
    stand_in.await_events("start", 1)
    stand_in.look(launcher, 2)
    assert launcher.waiting == "", "one of them works"


@slow
def test_a_coordinator_that_comes_back_takes_its_workers_over(stand_in: OnSlurm) -> None:
    stand_in.launcher("workers=2").scale(2)
    before = set(stand_in.jobs())
    again = stand_in.launcher("workers=2")
    assert again.scale(2) == []
    assert set(stand_in.jobs()) == before
    stand_in.cluster.cancel(stand_in.name)
    lines = stand_in.look(again, 0)
    assert len(lines) == 2, "it hears of the end of workers that another submitted"
    assert all("CANCELLED" in line for line in lines)
    assert stand_in.look(again, 0) == [], "once"
    assert stand_in.look(stand_in.launcher(), 0) == [], "and a third one not at all"


@slow
def test_a_preempted_worker_saves_and_its_job_is_queued_again(stand_in: OnSlurm) -> None:
    stand_in.instruct(leaving=1.0)
    launcher = stand_in.launcher("workers=1,sbatch.nodelist=n1")
    launcher.scale(1)
    stand_in.await_events("start", 1)
    (job,) = stand_in.jobs()
    urgent = f"urgent-{stand_in.name}"
    asked = (
        "--partition=urgent",
        "--nodelist=n1",
        "--exclusive",
        f"--job-name={urgent}",
        "--output=/dev/null",
    )
    stand_in.cluster.ask("sbatch", *asked, "--wrap=sleep 60")
    stand_in.await_events("left", 1)
    wait_until(lambda: "RUNNING" in stand_in.cluster.jobs(urgent).values())
    assert {line["name"] for line in stand_in.events("signal")} == {"SIGTERM"}
    assert stand_in.look(launcher, 1) == []
    assert stand_in.jobs() == {job: "PENDING"}, "the same job, and no other in its place"
    stand_in.cluster.cancel(urgent)
    stand_in.cluster.run_now(job)
    assert stand_in.await_events("start", 2)[1]["SLURM_RESTART_COUNT"] == "1"


@slow
def test_a_requeued_worker_is_not_replaced(stand_in: OnSlurm) -> None:
    launcher = stand_in.launcher("workers=1")
    launcher.scale(1)
    stand_in.await_events("start", 1)
    (job,) = stand_in.jobs()
    stand_in.cluster.ask("scontrol", "requeue", job)
    stand_in.await_events("left", 1)
    assert stand_in.look(launcher, 1) == []
    stand_in.cluster.run_now(job)
    assert stand_in.await_events("start", 2)[1]["SLURM_RESTART_COUNT"] == "1"
    assert list(stand_in.jobs()) == [job]


@slow
def test_workers_that_fail_are_reported_and_replaced_ever_later(stand_in: OnSlurm) -> None:
    stand_in.instruct(code=3)
    launcher = stand_in.launcher("workers=1")
    launcher.scale(1)
    wait_until(lambda: not stand_in.jobs())
    (line,) = stand_in.look(launcher, 1)
    assert "ended with status 3" in line
    log = Path(line.partition("(see ")[2].rstrip(")"))
    assert log.exists()
    assert stand_in.jobs() == {}, "not at once"
    wait_until(lambda: stand_in.look(launcher, 1) or stand_in.jobs())
    stand_in.await_events("start", 2)
    launcher.backoff.early_exits = pool.MAX_EARLY_EXITS - 1
    wait_until(lambda: not stand_in.jobs())
    with pytest.raises(UserError, match="no worker can work"):
        stand_in.look(launcher, 1)


@slow
@pytest.mark.parametrize(("code", "message"), [(FULL, "no disk space left"), (REFUSED, "not on this node")])
def test_what_every_worker_would_meet_ends_the_sweep(code: int, message: str, stand_in: OnSlurm) -> None:
    Store(stand_in.folder).write_json("refusals/one.json", {"reason": "not on this node", "at": 1.0})
    stand_in.instruct(code=code)
    launcher = stand_in.launcher("workers=1")
    launcher.scale(1)
    wait_until(lambda: not stand_in.jobs())
    with pytest.raises(UserError, match=message):
        stand_in.look(launcher, 1)


@slow
def test_a_worker_on_two_nodes_is_one_mesh(stand_in: OnSlurm) -> None:
    stand_in.instruct(distributed=True)
    launcher = stand_in.launcher("workers=1", Execution(platform="cpu", devices=2, nodes=2))
    launcher.scale(1)
    started = stand_in.await_events("start", 2)
    assert sorted(line["SLURMD_NODENAME"] for line in started) == ["n1", "n2"]
    assert [line["value"] for line in stand_in.await_events("sum", 2)] == [3.0, 3.0]  # of 1 and 2
    launcher.close()
    assert len(stand_in.events("left")) == 2


@slow
def test_a_controller_that_goes_away_is_reported_once_and_waited_for(
    stand_in: OnSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = stand_in.launcher("workers=1")
    launcher.scale(1)
    stand_in.await_events("start", 1)
    stand_in.cluster.stop_controller()
    try:
        with monkeypatch.context() as patch:
            patch.setenv("SLURM_CONF", stand_in.cluster.impatient_config())
            (line,) = stand_in.look(launcher, 1)
            assert "SLURM does not answer" in line
            assert "SLURM does not answer" in launcher.waiting
            monkeypatch.setattr(slurm, "SILENT_SECONDS", 0.0)
            assert launcher.waiting == "", "not for ever"
            assert stand_in.look(launcher, 1) == []
            with pytest.raises(UserError, match="SLURM does not answer"):
                stand_in.launcher()
            launcher.close()
    finally:
        stand_in.cluster.start_controller()
    assert stand_in.look(launcher, 1) == []
    assert len(stand_in.jobs()) == 1


@slow
def test_what_sbatch_refuses_is_said_in_a_line(stand_in: OnSlurm) -> None:
    with pytest.raises(UserError, match=r"sbatch refuses the workers \(.*partition") as caught:
        stand_in.launcher("partition=nowhere").scale(1)
    assert "\n" not in str(caught.value)


@slow
def test_its_time_over_a_worker_saves_and_its_job_is_queued_again(warned: OnSlurm) -> None:
    warned.await_events("left", 1)
    assert "SIGUSR2" in {line["name"] for line in warned.events("signal")}
    (job,) = warned.jobs()
    warned.cluster.run_now(job)
    assert warned.await_events("start", 2)[1]["SLURM_RESTART_COUNT"] == "1"
    assert list(warned.jobs()) == [job]
    warned.cluster.cancel(warned.name)


def test_without_slurm_it_says_where_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no SLURM here \(sbatch is not on the PATH\): run on a login node"):
        open_launcher(Store(tmp_path), WorkerOptions())


def test_without_submitit_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sbatch"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'isoflop\[slurm\]'"):
        open_launcher(Store(tmp_path), WorkerOptions())


def test_a_job_asks_for_what_a_worker_needs() -> None:
    on_cores = parameters(SlurmOptions(), Execution(platform="cpu", devices=6, nodes=2))
    assert (on_cores["nodes"], on_cores["ntasks_per_node"], on_cores["cpus_per_task"]) == (2, 1, 3)
    assert "gpus_per_node" not in on_cores
    on_gpus = parameters(
        SlurmOptions(partition="a100", mem="64G"), Execution(platform="gpu", devices=8, nodes=2)
    )
    assert (on_gpus["gpus_per_node"], on_gpus["cpus_per_task"]) == (4, 16)
    assert (on_gpus["partition"], on_gpus["mem"]) == ("a100", "64G")
    assert "--cpus-per-task=16" in on_gpus["srun_args"]
    said = parameters(SlurmOptions(gpus=0, cpus=2, sbatch={"gres": "gpu:a100:1"}), Execution(platform="gpu"))
    assert "gpus_per_node" not in said
    assert said["cpus_per_task"] == 2
    assert said["additional_parameters"] == {"requeue": True, "gres": "gpu:a100:1"}


def test_a_name_of_jobs_is_one_folders() -> None:
    names = {job_name(Path(path)) for path in ("/a/my sweep", "/b/my sweep", "/a/my,sweep")}
    assert len(names) == 3
    assert all(name.startswith("isoflop-my-sweep-") for name in names)
