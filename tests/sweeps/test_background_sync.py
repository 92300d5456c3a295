"""Telling trackers: once a cell, whoever tells, and never at training's cost."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.sweeps.progress import background_sync as mirrors
from isoflop.sweeps.progress import tracker_sync as tellers
from isoflop.sweeps.progress.background_sync import BackgroundSync
from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.progress.run_table import to_csv
from isoflop.sweeps.progress.tracker_sync import read_rows
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.trackers import open_tracker
from isoflop.train.data.corpus import Corpus
from tests.support.made_up import make_store

TRACKER = """
import time
def open_tracker(sweep, folder, warn):
    class Tracker:
        place = {place!r}
        def cell(self, config, curve, row):
            {cell}
        def sweep(self, folder, rows):
            self.cell({{}}, [], {{"cell_id": "sweep", "status": str(len(rows))}})
        def close(self):
            pass
    return Tracker()
"""
SLOW = """time.sleep(0.02)
            with (folder / "told").open("a") as file:
                file.write(row["cell_id"] + " " + row["status"] + "\\n")"""


@pytest.fixture
def store(corpus: Corpus, tmp_path: Path) -> Store:
    """A sweep's folder with six cells and a report."""
    return make_store(tmp_path / "out", corpus)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., str]:
    """Writes a tracker's file; its path."""

    def write(name: str, cell: str = SLOW, place: str = "") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(TRACKER.format(cell=cell, place=place))
        return str(path)

    return write


def open_mirror(store: Store, *names: str) -> tuple[BackgroundSync, list[str]]:
    """A mirror to trackers, and what it has to say."""
    said: list[str] = []
    reporter = Reporter()
    reporter.say = lambda text, style="": said.append(text)
    return BackgroundSync(names, "small", store, reporter), said


def told(store: Store) -> list[str]:
    """What the slow tracker took."""
    return sorted((store.path / "told").read_text().splitlines())


def test_two_coordinators_tell_of_each_cell_once(store: Store, plugin: Callable[..., str]) -> None:
    name = plugin("slow")
    both = [open_mirror(store, name) for _ in range(2)]
    rows = read_rows(store)
    for mirror, _ in both:
        for row in rows:
            mirror.put(row)
        mirror.finish()
    for mirror, said in both:
        mirror.close()
        assert said == []
    assert told(store) == sorted([*(f"{row['cell_id']} {row['status']}" for row in rows), "sweep 5"])


def test_what_changed_is_told_again_and_what_is_not_over_is_not_told(
    store: Store, plugin: Callable[..., str]
) -> None:
    row = read_rows(store)[0]
    for status, place in (
        ("pending", "a"),
        ("running", "a"),
        ("failed", "a"),
        ("finished", "a"),
        ("finished", "a"),
        ("finished", "b"),
        ("finished", ""),
    ):
        mirror, said = open_mirror(store, plugin("slow", place=place))
        mirror.put(row | {"status": status})
        mirror.close()
        assert said == []
    assert told(store) == [f"{row['cell_id']} {status}" for status in ("failed", "finished", "finished")]


def test_a_sweep_without_a_report_has_no_end_yet(store: Store, plugin: Callable[..., str]) -> None:
    (store.path / "report.html").unlink()
    mirror, said = open_mirror(store, plugin("slow"))
    mirror.finish()
    mirror.close()
    assert said == []
    assert told(store) == sorted(f"{row['cell_id']} {row['status']}" for row in read_rows(store))


def test_a_tracker_that_hangs_or_breaks_holds_up_no_other(
    store: Store, plugin: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "CLOSE_SECONDS", 1.0)
    names = plugin("hangs", "time.sleep(8)"), plugin("breaks", "1 / 0"), plugin("slow")
    mirror, said = open_mirror(store, *names)
    began = time.monotonic()
    for row in read_rows(store):
        mirror.put(row)
    mirror.close()
    assert time.monotonic() - began < 6
    assert len(told(store)) == 6
    assert sorted(said) == [
        "warning: tracker breaks: division by zero; the sweep goes on without it",
        "warning: tracker hangs: it does not answer; the sweep goes on without it",
    ]
    assert [p.parent.name for p in store.path.glob("mirrored/*/*")] == 6 * ["slow"]


def test_rows_come_back_from_csv_as_they_were(store: Store) -> None:
    rows = read_rows(store, ("runs.csv",))
    assert to_csv(rows) == (store.path / "runs.csv").read_text()
    assert {type(row["flops"]) for row in rows} == {int}
    assert {type(row["loss"]) for row in rows} == {float, type(None)}
    assert read_rows(Store(store.path / "cells")) == []


def test_a_turn_at_a_tracker_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that was stopped while it had the turn."""
    monkeypatch.setattr(tellers, "LOCK_SECONDS", 0.2)
    teller = tellers.TrackerSync(
        "jsonl", open_tracker("jsonl", sweep="s", folder=tmp_path, warn=print), Store(tmp_path)
    )
    with (tmp_path / "mirrored" / "jsonl.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"another process has held .*jsonl\.lock for"):
            teller.tell({"cell_id": "0" * 16, "status": "failed"})
