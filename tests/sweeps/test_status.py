"""What `isoflop status` says of a sweep, whatever has become of it so far."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isoflop.commands import status as command
from isoflop.sweeps.grids.adaptive import Adaptive
from isoflop.sweeps.grids.config import Rates, SweepConfig
from isoflop.sweeps.progress.status import read_status
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.queue.task import Task
from tests.support.imports import command as code_of
from tests.support.imports import loaded
from tests.support.in_process import Refuse, Runner
from tests.support.pretended import pretend

__all__ = ["pretend"]

pytestmark = pytest.mark.usefixtures("pretend")

LINES = ("tuning", "grid", "retries", "checks", "FLOPs")


def printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What it prints, by the first word of the line."""
    capsys.readouterr()
    assert command.run([str(folder)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    return {
        name: line.strip().removeprefix(name).strip()
        for line in out.splitlines()
        for name in LINES
        if line.strip().startswith(name)
    } | {"state": out.splitlines()[0].partition(": ")[2], "last": out.splitlines()[-1]}


@pytest.fixture
def config(config: SweepConfig) -> SweepConfig:
    """Every stage: four cells to tune by, twelve in the grid, and six checks."""
    rates = Rates(0.06, 0.5, tried=(0.5, 1.0, 2.0, 4.0), widths=(8,), horizons=(1.5e4,), seeds=1)
    return config.with_options(rates=rates, seeds=2, checks=True, trackers=())


def stop_after(count: int) -> Refuse:
    """Stops the sweep, as Ctrl-C does, at the task after so many."""
    begun: list[Task] = []

    def refuse(task: Task) -> None:
        begun.append(task)
        if len(begun) > count:
            raise KeyboardInterrupt

    return refuse


def test_a_finished_sweep(
    run: Runner, config: SweepConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(config, tmp_path / "out")
    lines = printed(tmp_path / "out", capsys)
    assert lines["state"] == "finished"
    assert lines["tuning"] == "4 finished"
    assert lines["grid"] == "12 finished"
    assert lines["checks"] == "6 finished"
    assert "retries" not in lines
    assert lines["FLOPs"].endswith("(100%)")


def test_stages_that_a_sweep_has_not_are_not_named(
    run: Runner, config: SweepConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = config.with_options(rates=Rates(0.06), checks=False)
    run(small, tmp_path / "out")
    assert set(printed(tmp_path / "out", capsys)) == {"state", "grid", "FLOPs", "last"}
    with pytest.raises(KeyboardInterrupt):
        run(small.with_options(seed=1), tmp_path / "half", refuse=stop_after(4))
    lines = printed(tmp_path / "half", capsys)
    assert set(lines) == {"state", "grid", "FLOPs", "last"}
    assert "pending" in lines["grid"]


def test_an_interrupted_sweep_never_shows_the_whole(
    run: Runner, config: SweepConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it stops: the counts are those of the folder, and what has not begun is still to come."""
    shares = []
    for _ in range(20):
        try:
            run(config, tmp_path / "out", refuse=stop_after(3))
        except KeyboardInterrupt:
            pass
        else:
            break
        lines = printed(tmp_path / "out", capsys)
        assert lines["state"] == "stopped: run it again to go on"
        counts = [lines[name] for name in LINES[:-1] if name in lines]
        assert any("pending" in text or "to come" in text for text in counts)
        shares.append(int(lines["FLOPs"].partition("(")[2].rstrip("%)")))
        finished = sum(stage.cells.get("finished", 0) for stage in read_status(tmp_path / "out").stages)
        assert finished == len(Store(tmp_path / "out").contents().cells)
    assert shares == sorted(shares)
    assert 0 < shares[-1] < 100
    assert "4 finished" in printed(tmp_path / "out", capsys)["tuning"]


def test_before_anything_has_begun_all_is_to_come(
    run: Runner, config: SweepConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "out", refuse=stop_after(0))
    lines = printed(tmp_path / "out", capsys)
    assert lines["tuning"] == "4 pending"
    assert lines["grid"] == "12 to come"
    assert lines["checks"] == "6 to come"


def test_an_adaptive_sweep(
    run: Runner, config: SweepConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = config.with_options(budgets=(2e8, 4e8, 8e8), sizes=3, checks=False)
    run(wide, tmp_path / "out", adaptive=Adaptive(half_width=10.0, max_flops=1e11))
    lines = printed(tmp_path / "out", capsys)
    assert lines["state"] == "finished"
    rows = (tmp_path / "out" / "runs.csv").read_text().splitlines()
    assert lines["grid"] == f"{len(rows) - 1} finished"
    assert "checks" not in lines


def test_a_fit_of_an_older_table_is_named(
    run: Runner, config: SweepConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(config, tmp_path / "out")
    fit = {"provenance": {"table": {"sha256": "of another table"}}}
    (tmp_path / "out" / "fit.json").write_text(json.dumps(fit))
    assert read_status(tmp_path / "out").stale is True
    capsys.readouterr()
    command.run([str(tmp_path / "out")])
    assert "fit.json and report.html are of an older run table" in capsys.readouterr().out


def test_it_loads_nothing_slow(run: Runner, config: SweepConfig, tmp_path: Path) -> None:
    run(config, tmp_path / "out")
    assert loaded(code_of("status", str(tmp_path / "out")), tmp_path) == set()
