"""Weights & Biases from end to end, against a stand-in server on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from isoflop.__main__ import _run
from isoflop.analysis import load_runs
from isoflop.base.json_values import to_json
from isoflop.sweeps.grids.segments import build_tree
from isoflop.sweeps.progress.background_sync import BackgroundSync
from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.progress.table_files import read_rows
from isoflop.sweeps.queue.board import Board
from isoflop.sweeps.queue.live_metrics import LiveLog, Metrics, cell_rates
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.row import Row
from isoflop.sweeps.trackers import wandb as wandb_tracker
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import Clock, Evaluation, curve, measured, unfinished
from isoflop.train.spec import CellSpec
from tests.support.made_up import make_store, row_of, train_again
from tests.support.small import small_recipe
from tests.support.wandb_file import read_run
from tests.support.wandb_server import ENTITY, KEY, Server, StoredRun, serving


@pytest.fixture
def store(corpus: Corpus, tmp_path: Path) -> Store:
    """A sweep's folder with six cells, one of them diverged, and a report."""
    return make_store(tmp_path / "out", corpus)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that this process and those that it starts are logged in to."""
    with serving() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def logged(store: Store, names: tuple[str, ...] = ("wandb",), finish: bool = False) -> list[str]:
    """Log the folder's cells in this process; return what there was to say."""
    said: list[str] = []
    reporter = Reporter()
    reporter.say = lambda text, style="": said.append(text)
    with contextlib.closing(BackgroundSync(names, "small", store, reporter)) as sync:
        for row in read_rows(store):
            sync.log_cell(row)
        if finish:
            sync.finish()
    return said


def check_points(run: StoredRun, store: Store, cell_id: str) -> None:
    """The run has the cell's curve, each point once."""
    lines = (store.cell(cell_id) / "curve.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines]
    assert [row["_step"] for row in run.history] == [point["step"] for point in points]
    for key in ("tokens", "flops", "train_loss", "lr", "grad_norm"):
        assert [row[key] for row in run.history] == [point[key] for point in points], key
    assert run.state == "finished"


def check_rows(server: Server, store: Store) -> None:
    """Every row has its run, and the run holds the row."""
    rows = read_rows(store)
    cells = {run.name: run for run in server.runs.values() if run.job_type != "report"}
    assert set(cells) == {f"small-{row.cell_id}" for row in rows}
    for row in rows:
        run, columns = cells[f"small-{row.cell_id}"], row.to_dict()
        for key, value in columns.items():
            assert value is None or run.summary[key] == value, key
        for key in (
            "d_model",
            "n_layers",
            "n_params_non_embedding",
            "n_tokens",
            "flops",
            "lr",
            "budget",
            "role",
        ):
            assert run.values[key] == columns[key]
        if row.status == "finished":
            check_points(run, store, row.cell_id)
        else:
            assert (run.state, run.points) == ("failed", {})
    assert not server.unknown - {"/sdk/otel/v1/metrics"}


@pytest.mark.slow
def test_a_sweep_online(server: Server, store: Store) -> None:
    assert logged(store, finish=True) == [], server.unknown
    check_rows(server, store)
    report = server.runs["small-report"]
    assert (report.state, report.job_type, report.values["sweep"]) == ("finished", "report", "small")
    assert (report.summary["fit.alpha"], report.summary["fit.a"]) == (0.4, 0.5)
    assert (report.summary["fit.alpha_low"], report.summary["fit.alpha_high"]) == (0.3, 0.5)
    assert (report.summary["fit.certified"], report.summary["fit.misfit_p"]) == ("certified", 0.2)
    assert (report.summary["fit.identified"], report.summary["fit.unidentified"]) == (False, "E")
    (table,) = (json.loads(data) for name, data in report.files.items() if name.endswith("table.json"))
    cell_ids = [row[table["columns"].index("cell_id")] for row in table["data"]]
    assert cell_ids == [row.cell_id for row in read_rows(store, ("runs.csv",))]
    (artifact,) = (a for a in server.artifacts.values() if a.kind == "report")
    assert artifact.committed
    assert artifact.contents["report.html"] == b"<p>the report</p>"
    assert {"fit.json", "runs.csv", "tuning.csv", "figures/isoflop.png"} <= set(artifact.contents)
    check_read_back(store)
    check_logged_again(server, store)


def check_read_back(store: Store) -> None:
    """The public API gives the table that runs.csv gives."""
    there = load_runs(f"wandb:{ENTITY}/isoflop/small", count="non_embedding")
    here = load_runs(store.path, count="non_embedding")
    assert [e.why for e in there.excluded] == [e.why for e in here.excluded] != []
    for name in ("N_R", "D_R", "C_R", "loss_R"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
    for name in here.frame.dropna(axis="columns", how="all").columns:
        assert there.frame[name].tolist() == here.frame[name].tolist(), name


def check_logged_again(server: Server, store: Store) -> None:
    """A process that died before it could mark anything: its successor finds all of it on the server."""
    for mark in store.path.glob("mirrored/wandb/*"):
        mark.unlink()
    posts = server.asked["file_stream"]
    assert logged(store, finish=True) == []
    assert server.asked["file_stream"] == posts
    assert len(list(store.path.glob("mirrored/wandb/*"))) == len(read_rows(store)) + 1


def make_board(corpus: Corpus) -> Board:
    """Two cells of one trunk, 100 and 200 steps long."""
    recipe = small_recipe(corpus, init_seed=7)
    cells = {cell.cell_id: cell for cell in (CellSpec(recipe, 100), CellSpec(recipe, 200))}
    return Board("train the grid", build_tree(cells.values(), 10_000), cells, "none", "")


def running(board: Board, corpus: Corpus) -> list[Row]:
    """The rows of its cells."""
    cells = board.cells.values()
    return [row_of(cell, "grid", "", unfinished(cell, corpus, "running", "")) for cell in cells]


def finish_cell(store: Store, corpus: Corpus, cell: CellSpec, metrics: Metrics) -> Row:
    """Files the cell; its row."""
    windows, clock = np.array([2.0, 2.2], dtype=np.float32), Clock(3.0, 1.0, 0.01)
    evaluation = Evaluation(windows, np.exp(-windows))
    result = measured(cell, corpus, evaluation=evaluation, metrics=metrics, clock=clock, device="cpu")
    points = curve(cell, metrics, cell_rates(cell))
    store.write_json(f"cells/{cell.cell_id}/cell.json", {"cell": to_json(cell), "result": to_json(result)})
    store.write_text(f"cells/{cell.cell_id}/curve.jsonl", "".join(json.dumps(p) + "\n" for p in points))
    return row_of(cell, "grid", "", result)


@pytest.mark.slow
def test_curves_stream_while_cells_train(server: Server, store: Store, corpus: Corpus) -> None:
    """A trunk's to the runs of all its cells; the ends go on from there, with each point once."""
    board, rng = make_board(corpus), np.random.default_rng(0)
    metrics = {name: rng.random(100, dtype=np.float32) for name in ("loss", "grad_norm")}
    cell, longer = board.cells.values()
    trunk = board.tree.paths[cell.cell_id][0]
    assert trunk == board.tree.paths[longer.cell_id][0]
    said: list[str] = []
    reporter = Reporter()
    reporter.say = lambda text, style="": said.append(text)
    with contextlib.closing(BackgroundSync(("wandb",), "small", store, reporter)) as sync:
        live = LiveLog(store, [trunk])
        for start, stop in ((0, 30), (30, 80)):
            live.append({name: values[None, start:stop] for name, values in metrics.items()})
            sync.next_live = 0.0
            sync.log_live(board, frozenset({trunk}), running(board, corpus))
            for each in (cell, longer):
                reached = lambda each=each, stop=stop: streamed(server, each) == stop  # noqa: E731  # for the loop
                server.wait_until(reached, seconds=60)
        live.close()
        check_led(store, corpus, board)
        row = finish_cell(store, corpus, cell, metrics)
        sync.log_cell(row)
    assert said == []
    check_points(server.runs[f"small-{cell.cell_id}"], store, cell.cell_id)
    assert server.runs[f"small-{cell.cell_id}"].summary["loss"] == row.loss
    assert server.runs[f"small-{longer.cell_id}"].state == "running"


def streamed(server: Server, cell: CellSpec) -> int:
    """The last step that the cell's run has, while it is running."""
    run = server.runs.get(f"small-{cell.cell_id}")
    return run.history[-1]["_step"] if run and run.history and run.state == "running" else 0


def check_led(store: Store, corpus: Corpus, board: Board) -> None:
    """Another coordinator neither shows these cells nor logs them: their runs are open elsewhere."""
    with contextlib.closing(BackgroundSync(("wandb",), "small", store, Reporter())) as other:
        other.log_live(board, frozenset(board.tree.segments), running(board, corpus))
        other.log_cell(read_rows(store)[0])
    assert not list(store.path.glob("mirrored/wandb/*"))


@pytest.mark.slow
def test_a_server_that_hangs_while_cells_train_holds_up_nothing(
    server: Server, store: Store, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults["graphql"] = "hang"
    server.faults["file_stream"] = "hang"
    monkeypatch.setattr(wandb_tracker, "ONLINE_SECONDS", 3.0)
    board, said = make_board(corpus), list[str]()
    reporter = Reporter()
    reporter.say = lambda text, style="": said.append(text)
    trunk = next(iter(board.tree.paths.values()))[0]
    live = LiveLog(store, [trunk])
    live.append({"loss": np.ones((1, 50), dtype=np.float32)})
    live.close()
    rows = read_rows(store)
    with contextlib.closing(BackgroundSync(("wandb",), "small", store, reporter)) as sync:
        for _ in range(1000):  # looks of the coordinator
            sync.next_live = 0.0
            sync.log_live(board, frozenset({trunk}), running(board, corpus))
        for row in rows:
            sync.log_cell(row)
    assert len(said) == 1
    assert "logging offline" in said[0]
    assert len(list(store.path.glob("wandb/offline-run-*"))) == len(rows)


SYNC = """
import sys
from pathlib import Path
from isoflop.sweeps.progress.background_sync import BackgroundSync
from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.progress.table_files import read_rows
store = Store(Path(sys.argv[1]))
sync = BackgroundSync(("jsonl", "wandb"), "small", store, Reporter())
for row in read_rows(store):
    sync.log_cell(row)
sync.close()
"""


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_run_costs_no_point_and_doubles_none(server: Server, store: Store) -> None:
    server.faults["file_stream"] = "half"
    with subprocess.Popen([sys.executable, "-c", SYNC, str(store.path)]) as process:
        try:
            server.wait_until(lambda: any(run.points for run in server.runs.values()), seconds=40)
        finally:
            process.kill()
    assert not list(store.path.glob("mirrored/wandb/*"))
    (half,) = (run for run in server.runs.values() if run.points)
    assert half.state == "running"
    server.faults.clear()
    assert logged(store, ("jsonl", "wandb")) == []
    check_rows(server, store)
    lines = (store.path / "cells.jsonl").read_text().splitlines()
    there = [json.loads(line)["row"]["cell_id"] for line in lines]
    assert sorted(there) == sorted(row.cell_id for row in read_rows(store))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "seconds", "why"), [("hang", 3.0, "no answer for 3 s"), ("refuse", 60.0, "did not take run")]
)
def test_a_server_that_fails_costs_one_warning_and_nothing_else(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch, fault: str, seconds: float, why: str
) -> None:
    server.faults["file_stream"] = fault
    monkeypatch.setattr(wandb_tracker, "ONLINE_SECONDS", seconds)
    (said,) = logged(store)
    assert "W&B can't be reached (" in said
    assert why in said
    assert f": logging offline; isoflop sync {store.path} sends it later" in said
    runs = [read_run(path) for path in store.path.glob("wandb/offline-run-*/*.wandb")]
    assert sorted(run.run_id for run in runs) == sorted(f"small-{row.cell_id}" for row in read_rows(store))
    marks = [p.read_text() for p in store.path.glob("mirrored/wandb/*")]
    assert all(text.split() in (["finished"], ["diverged"]) for text in marks)


@pytest.mark.slow
def test_what_was_logged_offline_is_synced_once(
    server: Server,
    store: Store,
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    assert logged(store, finish=True) == []
    assert not server.runs
    assert len(list(store.path.glob("wandb/offline-run-*"))) == len(read_rows(store)) + 1
    for sent in (len(read_rows(store)) + 1, 0):
        assert _run(["sync", str(store.path), "--project", "isoflop"]) == 0
        assert f"{sent} of 7 runs sent, the others were there: {server.url}" in capsys.readouterr().out
        check_rows(server, store)
    assert len(list(store.path.glob("wandb/offline-run-*/*.synced"))) == len(read_rows(store)) + 1
    check_second_try(server, store, corpus)


def check_second_try(server: Server, store: Store, corpus: Corpus) -> None:
    """A cell that diverged, trained again to its end, is the run that it was."""
    (wild,) = (row for row in read_rows(store) if row.status == "diverged")
    run = server.runs[f"small-{wild.cell_id}"]
    assert run.tags == [*run.tags[:3], "diverged"]
    again = train_again(store, corpus)
    assert _run(["sync", str(store.path)]) == 0
    check_rows(server, store)
    said = (run.summary["loss"], run.summary["reason"], len(run.tags))
    assert said == (again.loss, again.reason, 3)


def refused(capsys: pytest.CaptureFixture[str], store: Store, *parts: str) -> None:
    """`isoflop sync` answers with one line that says why."""
    capsys.readouterr()
    assert _run(["sync", str(store.path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    for part in parts:
        assert part in err


def test_there_is_nothing_to_sync(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, Store(store.path / "nowhere"), "no folder", "nowhere")
    refused(capsys, Store(store.path / "cells"), "is not a sweep's folder")
    for table in store.path.glob("*.csv"):
        table.unlink()
    refused(capsys, store, "has nothing to sync yet")


@pytest.mark.slow
def test_nobody_to_sync_to(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(store.path))
    refused(capsys, store, "W&B has no login here", "wandb login")
    monkeypatch.setattr(wandb_tracker, "ONLINE_SECONDS", 3.0)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with socket.socket() as taken:  # a port that nobody answers at: bound, and not listened on
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        refused(capsys, store, "W&B can't be reached (no answer for 3 s)")
