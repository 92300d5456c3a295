"""Settings of launchers: from the command line, files and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.sweeps.launchers import load_launcher
from isoflop.sweeps.launchers.options import read_options
from isoflop.sweeps.launchers.ray import RayOptions
from isoflop.sweeps.launchers.slurm import SlurmOptions


def read(text: str, **environ: str) -> SlurmOptions:
    return read_options(SlurmOptions, "slurm", text, environ)


def test_nothing_said_is_the_clusters_default() -> None:
    assert read("") == SlurmOptions()
    assert read_options(RayOptions, "ray", "", {}) == RayOptions()


def test_what_stands_further_right_counts_and_all_of_it_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(
        'partition = "gpu"\ntime = 600\nsetup = ["module load cuda", "umask 2"]\n'
        '[sbatch]\nnodelist = "n[1-2],n4"\n'
    )
    settings = read(
        f"time=30, {file}, workers=9,sbatch.nice=100", ISOFLOP_SLURM_ACCOUNT="us", ISOFLOP_SLURM_TIME="5"
    )
    assert settings == SlurmOptions(
        workers=9,
        time=600,
        partition="gpu",
        account="us",
        sbatch={"nodelist": "n[1-2],n4", "nice": "100"},
        setup=("module load cuda", "umask 2"),
    )
    assert read("", ISOFLOP_SLURM_TIME="5").time == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "partitoin=gpu",
            "unknown option 'partitoin' of the launcher slurm: known are workers, time, partition",
        ),
        ("time=2h", "option time=2h: not a whole number"),
        ("workers=0", "option workers=0 must be at least 1"),
        ("sbatch=3", "option sbatch"),
        ("partition.gpu=3", "option partition.gpu"),
        ("gpu", "'gpu' is neither key=value nor a .toml file"),
        ("none.toml", "no file of launcher options none.toml"),
    ],
)
def test_a_wrong_option_is_refused_in_a_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text("partition: gpu")
    with pytest.raises(UserError, match="are not TOML"):
        read(str(file))


def test_the_environments_wrong_values_are_named_as_they_stand_there() -> None:
    with pytest.raises(UserError, match="ISOFLOP_SLURM_TIME=soon"):
        read("", ISOFLOP_SLURM_TIME="soon")


def test_a_launcher_without_options_refuses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("def open_launcher(store, worker_options): ...\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"the launcher \./mine\.py has no options"):
        load_launcher("./mine.py", "workers=3")
