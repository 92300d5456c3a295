"""What kills can't show: power cuts at any file call, full disks, networks, clocks. Training is pretended."""

from __future__ import annotations

import contextlib
import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isoflop.base.durable import MANIFEST
from isoflop.base.errors import UserError
from isoflop.sweeps.grids.adaptive import Adaptive
from isoflop.sweeps.grids.config import Rates, SweepConfig
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers.options import WorkerOptions
from tests.support.disk import Disk, FullDisk, Network, PowerCut
from tests.support.heartbeats import write_heartbeat
from tests.support.in_process import Runner
from tests.support.pretended import pretend
from tests.support.tables import read_rows, timeless

__all__ = ["pretend"]

pytestmark = pytest.mark.usefixtures("pretend")

CUTS = 20
"""Calls, of some hundred, at which the power goes or the disk is full; drawn, always the same."""

HASTY = WorkerOptions(lease_seconds=0.05)
"""The cut's dead worker is of this living process: only its silence shows that it is dead."""

TABLES = ("tuning.csv", "runs.csv", "checks.csv")


@pytest.fixture
def config(config: SweepConfig) -> SweepConfig:
    """Every stage, and trunks cut into pieces."""
    rates = Rates(0.06, 0.5, tried=(0.5, 1.0, 2.0), widths=(8,), horizons=(1.5e4,), seeds=1)
    return replace(
        config, ladder=(8, 16), sizes=2, seeds=2, rates=rates, checks=True, checkpoint_steps=100, trackers=()
    )


def tables(folder: Path) -> list[list[dict[str, str]]]:
    """All that the sweep says."""
    return [timeless(read_rows(folder, name)) for name in TABLES]


@pytest.fixture
def undisturbed(run: Runner, config: SweepConfig, tmp_path: Path) -> list[list[dict[str, str]]]:
    """The tables when nothing happens."""
    run(config, tmp_path / "undisturbed")
    return tables(tmp_path / "undisturbed")


Tables = list[list[dict[str, str]]]


def calls_of(run: Runner, config: SweepConfig, out: Path, adaptive: Adaptive | None = None) -> int:
    """File calls of a whole sweep."""
    with Disk(out).watched() as disk:
        run(config, out, adaptive=adaptive)
    return disk.calls


@pytest.mark.slow
def test_a_power_cut_at_any_file_call_costs_nothing_but_time(
    run: Runner, config: SweepConfig, tmp_path: Path, undisturbed: Tables
) -> None:
    total = calls_of(run, config, tmp_path / "counted")
    assert total > 300
    draw = random.Random(0)
    for cut in sorted(draw.sample(range(1, total), CUTS)):
        out = tmp_path / f"cut-{cut}"
        for call in (cut, cut // 3 + 1):  # it may go again while the first cut's damage is mended
            disk = Disk(out, call)
            with disk.watched(), contextlib.suppress(PowerCut):
                run(config, out, worker_options=HASTY)
            disk.lose(draw)
        run(config, out, worker_options=HASTY)
        assert tables(out) == undisturbed, cut


@pytest.mark.slow
def test_a_disk_that_fills_up_anywhere_stops_the_sweep_and_nothing_is_lost(
    run: Runner, config: SweepConfig, tmp_path: Path, undisturbed: Tables
) -> None:
    total = calls_of(run, config, tmp_path / "counted")
    for cut in random.Random(1).sample(range(1, total), CUTS):
        out = tmp_path / f"full-{cut}"
        with FullDisk(out, cut).watched(), pytest.raises((UserError, OSError), match=r"[Nn]o (disk )?space"):
            run(config, out)
        run(config, out, worker_options=HASTY)
        assert tables(out) == undisturbed, cut


@pytest.mark.parametrize("seed", range(4))
def test_a_network_that_loses_answers_and_shows_old_listings(
    run: Runner, config: SweepConfig, tmp_path: Path, undisturbed: Tables, seed: int
) -> None:
    with Network(tmp_path / "out", seed).watched():
        run(config, tmp_path / "out")
    assert tables(tmp_path / "out") == undisturbed
    assert not run.failures(tmp_path / "out")


def test_a_clock_that_jumps_is_no_matter(
    run: Runner, config: SweepConfig, tmp_path: Path, undisturbed: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, real = random.Random(0), time.time
    monkeypatch.setattr(time, "time", lambda: real() + draw.uniform(-1e7, 1e7))
    run(config, tmp_path / "out")
    assert tables(tmp_path / "out") == undisturbed


def test_a_damaged_result_is_set_aside_and_made_again(
    run: Runner, config: SweepConfig, tmp_path: Path, undisturbed: Tables
) -> None:
    out = tmp_path / "undisturbed"
    cells = sorted((out / "cells").iterdir())
    damaged = [cells[0] / "windows.npy", cells[1] / "cell.json", cells[2] / MANIFEST]
    for file in damaged:
        file.write_bytes(file.read_bytes()[:-7])
    (cells[3] / "curve.jsonl").unlink()
    run(config, out)
    assert tables(out) == undisturbed
    notes = [note.read_text() for note in sorted((out / "damaged").glob("*.txt"))]
    assert len(notes) == 4
    assert len(run.given) >= 4


@pytest.mark.parametrize("kind", ["checkpoints", "segments"])
def test_a_damaged_trunk_is_trained_again_from_the_last_good_one(
    run: Runner, config: SweepConfig, tmp_path: Path, kind: str
) -> None:
    further = config.with_options(budgets=(*config.budgets, 8e8))
    run(further, tmp_path / "reference")
    out = tmp_path / "out"
    run(config, out)
    for record in (out / kind).iterdir():
        file = next(f for f in sorted(record.rglob("*")) if f.is_file() and f.name != MANIFEST)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    run(further, out)
    assert tables(out) == tables(tmp_path / "reference")
    assert list((out / "damaged").iterdir())


def test_a_torn_head_amid_a_sweeps_records_is_written_again(
    run: Runner, config: SweepConfig, tmp_path: Path, undisturbed: Tables
) -> None:
    out = tmp_path / "undisturbed"
    (out / "sweep.json").write_text('{"format": 2, "name')
    run(config, out)
    assert run.given == []
    assert tables(out) == undisturbed


@pytest.mark.slow
def test_an_adaptive_sweep_stopped_anywhere_comes_to_the_same_cells(
    run: Runner, config: SweepConfig, tmp_path: Path
) -> None:
    config = config.with_options(budgets=(2e8, 4e8, 8e8), ladder=(8, 16, 24, 32, 40), sizes=3, seeds=1)
    options = Adaptive(half_width=0.3)
    run(config, tmp_path / "whole", adaptive=options)
    trained = [task.segment.segment_id for task in run.given]
    assert len(json.loads((tmp_path / "whole" / "summary.json").read_text())["rounds"]) > 1
    total = calls_of(run, config, tmp_path / "counted", options)
    for cut in (total // 3, 2 * total // 3):
        out = tmp_path / f"cut-{cut}"
        with Disk(out, cut).watched(), pytest.raises(PowerCut):
            run(config, out, worker_options=HASTY, adaptive=options)
        run(config, out, worker_options=HASTY, adaptive=options)
        assert tables(out) == tables(tmp_path / "whole")
    run(config, tmp_path / "whole", adaptive=options)
    assert trained
    assert run.given == []


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"keep": "none"}, Adaptive(), "--keep trunks or all"),
        ({"budgets": (2e8, 4e8)}, Adaptive(), "an adaptive sweep needs three of each"),
        ({}, Adaptive(max_flops=1e6), "the first round take .* FLOPs and max_flops is 1e"),
    ],
)
def test_what_an_adaptive_sweep_cannot_do_is_refused_before_anything_is_spent(
    run: Runner, config: SweepConfig, tmp_path: Path, changes: dict[str, Any], options: Adaptive, message: str
) -> None:
    config = config.with_options(budgets=(2e8, 4e8, 8e8), ladder=(8, 16, 24), sizes=3)
    with pytest.raises(UserError, match=message):
        run(config.with_options(**changes), tmp_path / "out", adaptive=options)
    assert run.given == []


def test_a_coordinator_of_an_earlier_boot_is_found_dead(
    run: Runner, config: SweepConfig, tmp_path: Path
) -> None:
    out = tmp_path / "undisturbed"
    run(config, out)
    write_heartbeat(out / "coordinators", "of-yesterday", 7)
    Store(out).fail("0" * 16, "the roof fell in", 2)
    run(config, out, worker_options=HASTY)
    assert not any("joining" in line for line in run.said)
    assert not list((out / "coordinators").glob("*.json"))
    assert not run.failures(out)
