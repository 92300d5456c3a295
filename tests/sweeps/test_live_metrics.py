"""What a segment logs while it trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.queue.live_metrics import LiveCurves, LiveLog, Metrics, read_live
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers import execute as executing
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import curve
from isoflop.train.spec import CellSpec
from tests.support.in_process import Runner
from tests.support.small import small_recipe


def test_training_logs_what_it_files(
    run: Runner, narrow: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit, and nothing is left of it."""
    logged: dict[str, Metrics] = {}

    class Watched(LiveLog):
        def append(self, metrics: Metrics) -> None:
            super().append(metrics)
            for path in self.paths:
                found = read_live(path)
                assert found is not None
                logged[path.name] = found

    monkeypatch.setattr(executing, "LiveLog", Watched)
    run(narrow, tmp_path)
    filed = {path.name: dict(np.load(path / "metrics.npz")) for path in tmp_path.glob("segments/*")}
    assert logged.keys() == filed.keys() != set()
    for name, metrics in filed.items():
        assert {k: v.tobytes() for k, v in metrics.items()} == {
            k: v.tobytes() for k, v in logged[name].items()
        }
    assert list(tmp_path.glob("live/*")) == []


def test_a_folder_that_takes_no_log_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "live").write_text("a file where the folder should be")
    log = LiveLog(Store(tmp_path), ["a"])
    log.append({"loss": np.ones((1, 3), dtype=np.float32)})
    log.close()
    assert read_live(Store(tmp_path).live("a")) is None


def test_a_half_written_step_is_not_read(tmp_path: Path) -> None:
    log = LiveLog(Store(tmp_path), ["a"])
    log.append({"loss": np.arange(4, dtype=np.float32)[None], "norm": np.ones((1, 4), dtype=np.float32)})
    log.close()
    path = Store(tmp_path).live("a")
    path.write_bytes(path.read_bytes()[:-5])
    found = read_live(path)
    assert found is not None
    np.testing.assert_array_equal(found["loss"], [0, 1, 2])


def test_the_points_so_far_are_those_of_the_whole_curve(tmp_path: Path, corpus: Corpus) -> None:
    cell = CellSpec(small_recipe(corpus), 1000)
    metrics = {"loss": np.random.default_rng(0).random(1000, dtype=np.float32)}
    log = LiveLog(Store(tmp_path), ["a"])
    log.append({"loss": metrics["loss"][None, :503]})
    log.close()
    so_far = LiveCurves(Store(tmp_path)).points(cell, ["a", "b"])
    whole = curve(cell, metrics, np.ones(1000, dtype=np.float32))
    assert [p["step"] for p in so_far] == [p["step"] for p in whole if p["step"] <= 503]
    assert [p["train_loss"] for p in so_far] == [p["train_loss"] for p in whole[: len(so_far)]]
    assert LiveCurves(Store(tmp_path)).points(cell, ["b"]) == []
