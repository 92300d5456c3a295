"""A sweep's folder says who trained what, and the trackers are sent it too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isoflop.base.json_values import from_json, to_json
from isoflop.base.provenance import LOG, Provenance, provenance
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.progress.tracker_sync import TrackerSync
from isoflop.sweeps.trackers.wandb_run import report_run
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import CellResult, unfinished
from isoflop.train.spec import CellSpec
from tests.support.in_process import Runner
from tests.support.made_up import make_store
from tests.support.small import small_recipe

OTHER = "0.99.0"


def test_rows_cells_segments_and_starts_name_versions_and_host(
    run: Runner, narrow: SweepConfig, tmp_path: Path
) -> None:
    rows = run(narrow, tmp_path)
    own = provenance()
    for row in rows:
        assert row["isoflop_version"] == own.version
        assert row["jax_version"] == own.packages["jax"]
        assert row["host"] == own.host
        record = json.loads((tmp_path / "cells" / row["cell_id"] / "cell.json").read_text())
        assert Provenance(**record["provenance"]).version == own.version
    run(narrow, tmp_path)
    starts = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [start["packages"] for start in starts] == [own.packages] * 2


def test_a_cell_whose_trunk_was_trained_under_another_jax_names_both(
    run: Runner, narrow: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = provenance()
    before = replace(own, packages=own.packages | {"jax": OTHER})
    first = True

    def changing() -> Provenance:
        nonlocal first
        now, first = (before if first else own), False
        return now

    monkeypatch.setattr("isoflop.sweeps.workers.execute.provenance", changing)
    versions = {row["jax_version"] for row in run(narrow, tmp_path)}
    assert versions == {f"{OTHER} + {own.packages['jax']}"}


def test_a_result_from_before_the_columns_is_read(corpus: Corpus) -> None:
    record = to_json(unfinished(CellSpec(small_recipe(corpus), 50), corpus, "failed", "it did"))
    for name in ("isoflop_version", "jax_version", "host"):
        del record[name]
    assert from_json(CellResult, record).jax_version is None


class Listener:
    """A tracker that keeps what it is sent."""

    address = ""

    def __init__(self) -> None:
        self.configs: list[Mapping[str, Any]] = []
        self.sweeps = 0

    def log_cell(self, config: Mapping[str, Any], curve: Any, row: Any) -> None:
        self.configs.append(config)

    def log_sweep(self, folder: Path, rows: Any) -> None:
        self.sweeps += 1

    def close(self) -> None:
        """Nothing is open."""


def test_trackers_are_sent_it(corpus: Corpus, tmp_path: Path) -> None:
    store = make_store(tmp_path, corpus)
    cell = next((tmp_path / "cells").iterdir()) / "cell.json"
    cell.write_text(json.dumps(json.loads(cell.read_text()) | {"provenance": provenance().to_json()}))
    listener = Listener()
    TrackerSync("listener", listener, store).log_missing()
    assert any((c.get("provenance") or {}).get("host") == provenance().host for c in listener.configs)
    fit = json.loads((tmp_path / "fit.json").read_text())
    store.write_json("fit.json", fit | {"provenance": provenance().to_json()})
    assert report_run("small", tmp_path, []).config["provenance"]["isoflop"] == provenance().isoflop


def test_the_same_report_drawn_at_another_time_is_not_sent_again(corpus: Corpus, tmp_path: Path) -> None:
    store, listener = make_store(tmp_path, corpus), Listener()
    fit = json.loads((tmp_path / "fit.json").read_text())
    sync = TrackerSync("listener", listener, store)
    early, late = "2026-11-25T01:00:00", "2026-11-25T02:00:00"
    for time, law in ((early, "a"), (late, "a"), (late, "b")):
        store.write_json("fit.json", fit | {"law": law, "provenance": {"time": time}})
        store.write_text("report.html", f"<p>the report, {time}</p>")
        sync.log_sweep()
    assert listener.sweeps == 2
