"""Whole sweeps on real clusters, against the same sweep on this machine's cores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isoflop.sweeps.launchers.slurm import job_name
from tests.support.optional import require_ray
from tests.support.slurm_cluster import slurm_cluster
from tests.support.stand_in import wait_until
from tests.support.tables import read_rows, timeless

pytestmark = pytest.mark.slow

CONFIG = """
from tests.support.small import small_sweep
SWEEP = small_sweep({source!r}, budgets=(2e8, 4e8, 8e8), ladder=(8,), sizes=1, centre_width=8, seeds=2)
"""


class Sweeps:
    """Runs a sweep of one width by the command line: a trunk, its branches, and replicates."""

    def __init__(self, source_name: str, folder: Path) -> None:
        self.config, self.folder = folder / "mine.py", folder
        self.config.write_text(CONFIG.format(source=source_name))

    def start(self, launcher: str, **environment: str) -> subprocess.Popen[str]:
        """`isoflop sweep` into a folder of the launcher's name."""
        options = ["--launcher", launcher, "--out", str(self.folder / launcher), "--no-report"]
        command = [sys.executable, "-m", "isoflop", "sweep", str(self.config), *options, "--platform", "cpu"]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)

    def rows(self, launcher: str) -> list[dict[str, str]]:
        """The table, without what the clock said."""
        return timeless(read_rows(self.folder / launcher))


def finish(process: subprocess.Popen[str]) -> None:
    """Waits for it to end well."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def sweeps(source_name: str, tmp_path_factory: pytest.TempPathFactory) -> Sweeps:
    """With the local launcher's table."""
    sweeps = Sweeps(source_name, tmp_path_factory.mktemp("sweeps"))
    finish(sweeps.start("local"))
    assert {row["status"] for row in sweeps.rows("local")} == {"finished"}
    return sweeps


def test_on_slurm_with_a_worker_requeued(sweeps: Sweeps, tmp_path_factory: pytest.TempPathFactory) -> None:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        process = sweeps.start("slurm", ISOFLOP_SLURM_WORKERS="2")
        name = job_name((sweeps.folder / "slurm").resolve())
        wait_until(lambda: list((sweeps.folder / "slurm").glob("claims/*/*")) or process.poll() is not None)
        running = [job for job, state in cluster.jobs(name).items() if state == "RUNNING"]
        cluster.ask("scontrol", "requeue", running[0])
        cluster.run_now(running[0])
        finish(process)
        assert cluster.jobs(name) == {}
    assert sweeps.rows("slurm") == sweeps.rows("local")


def test_on_a_ray_of_this_machine_alone(sweeps: Sweeps) -> None:
    require_ray()
    finish(sweeps.start("ray", RAY_ADDRESS="local"))
    assert sweeps.rows("ray") == sweeps.rows("local")
