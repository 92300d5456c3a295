"""Logging to trackers: once a cell, whoever logs it, and never at training's cost."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.sweeps.progress import background_sync, tracker_sync
from isoflop.sweeps.progress.background_sync import BackgroundSync
from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.progress.table_files import read_rows, to_csv
from isoflop.sweeps.progress.tracker_sync import TrackerSync
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.trackers import load_tracker
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import unfinished
from tests.support.made_up import make_store, row_of, wild

TRACKER = """
import time
from types import SimpleNamespace
def open_tracker(sweep, folder, warn):
    class Tracker:
        address = {address!r}
        def log_cell(self, config, curve, row):
            {cell}
        def log_sweep(self, folder, rows):
            self.log_cell({{}}, [], SimpleNamespace(cell_id="sweep", status=str(len(rows))))
        def close(self):
            pass
    return Tracker()
"""
SLOW = """time.sleep(0.02)
            with (folder / "logged").open("a") as file:
                file.write(row.cell_id + " " + row.status + "\\n")"""


@pytest.fixture
def store(corpus: Corpus, tmp_path: Path) -> Store:
    """A sweep's folder with six cells and a report."""
    return make_store(tmp_path / "out", corpus)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., str]:
    """Writes a tracker's file; its path."""

    def write(name: str, cell: str = SLOW, address: str = "") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(TRACKER.format(cell=cell, address=address))
        return str(path)

    return write


def open_sync(store: Store, *names: str) -> tuple[BackgroundSync, list[str]]:
    """The sync of a folder to trackers, and what it has to say."""
    said: list[str] = []
    reporter = Reporter()
    reporter.say = lambda text, style="": said.append(text)
    return BackgroundSync(names, "small", store, reporter), said


def logged(store: Store) -> list[str]:
    """What the slow tracker took."""
    return sorted((store.path / "logged").read_text().splitlines())


def test_two_coordinators_log_each_cell_once(store: Store, plugin: Callable[..., str]) -> None:
    name = plugin("slow")
    both = [open_sync(store, name) for _ in range(2)]
    rows = read_rows(store)
    for sync, _ in both:
        for row in rows:
            sync.log_cell(row)
        sync.finish()
    for sync, said in both:
        sync.close()
        assert said == []
    assert logged(store) == sorted([*(f"{row.cell_id} {row.status}" for row in rows), "sweep 5"])


def test_what_changed_is_logged_again_and_what_is_not_over_is_not_logged(
    store: Store, plugin: Callable[..., str]
) -> None:
    row = read_rows(store)[0]
    for status, address in (
        ("pending", "a"),
        ("running", "a"),
        ("failed", "a"),
        ("finished", "a"),
        ("finished", "a"),
        ("finished", "b"),
        ("finished", ""),
    ):
        sync, said = open_sync(store, plugin("slow", address=address))
        sync.log_cell(replace(row, status=status))
        sync.close()
        assert said == []
    assert logged(store) == [f"{row.cell_id} {status}" for status in ("failed", "finished", "finished")]


def test_a_sweep_without_a_report_has_no_end_yet(store: Store, plugin: Callable[..., str]) -> None:
    (store.path / "report.html").unlink()
    sync, said = open_sync(store, plugin("slow"))
    sync.finish()
    sync.close()
    assert said == []
    assert logged(store) == sorted(f"{row.cell_id} {row.status}" for row in read_rows(store))


def test_a_tracker_that_hangs_or_breaks_holds_up_no_other(
    store: Store, plugin: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_sync, "CLOSE_SECONDS", 1.0)
    names = plugin("hangs", "time.sleep(1e6)"), plugin("breaks", "1 / 0"), plugin("slow")
    sync, said = open_sync(store, *names)
    for row in read_rows(store):
        sync.log_cell(row)
    sync.close()  # returns, though a tracker never does
    assert len(logged(store)) == 6
    assert sorted(said) == [
        "warning: tracker breaks: division by zero; the sweep goes on without it",
        "warning: tracker hangs: it does not answer; the sweep goes on without it",
    ]
    assert [p.parent.name for p in store.path.glob("mirrored/*/*")] == 6 * ["slow"]


def test_rows_come_back_from_csv_as_they_were(store: Store) -> None:
    rows = read_rows(store, ("runs.csv",))
    assert to_csv(rows) == (store.path / "runs.csv").read_text()
    assert {type(row.flops) for row in rows} == {int}
    assert {type(row.loss) for row in rows} == {float, type(None)}
    assert read_rows(Store(store.path / "cells")) == []


def test_a_turn_at_a_tracker_is_not_waited_for_without_end(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that was stopped while it had the turn."""
    monkeypatch.setattr(tracker_sync, "LOCK_SECONDS", 0.2)
    sync = TrackerSync("jsonl", load_tracker("jsonl")("s", tmp_path, print), Store(tmp_path))
    failed = row_of(wild(corpus), "grid", "", unfinished(wild(corpus), corpus, "failed", "it did"))
    with (tmp_path / "mirrored" / "jsonl.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"another process has held .*jsonl\.lock for"):
            sync.log_cell(failed)
