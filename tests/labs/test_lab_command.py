"""isoflop lab: what it writes and says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from isoflop.__main__ import _run
from isoflop.analysis import load_runs
from isoflop.labs.backends import load_backend
from isoflop.labs.lab import Lab, open_lab
from isoflop.labs.store.experiments import submit
from isoflop.labs.store.opening import open_store
from isoflop.labs.store.students import student_named
from isoflop.labs.workers.worker import run_next
from tests.support.labs import config_json, training_config


def lab_command(*argv: object) -> int:
    return _run(["lab", *map(str, argv)])


def refusal(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one line that a refused command says."""
    assert lab_command(*argv) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert lab_command("init", tmp_path / "course", "--students", 3, "--budget", 1000) == 0
    said = capsys.readouterr().out
    assert "a lab of 3 students" in said
    assert f"isoflop lab serve {tmp_path / 'course'}" in said
    return tmp_path / "course"


def ran(lab: Lab, student: str, n_runs: int) -> None:
    """Submits and runs a few sizes."""
    store = open_store(lab, None)
    for number in range(n_runs):
        config = training_config(
            {"num_hidden_layers": 1 + number}, total_train_tokens=4096 * 100, max_runtime_seconds=30.0
        )
        with store.write() as connection:
            submit(connection, student_named(connection, student).id, config)
        assert run_next(store, load_backend(lab), "w")
    store.close()


def test_init_from_a_roster(tmp_path: Path) -> None:
    (tmp_path / "roster.txt").write_text("Ann Lee\nBob\n")
    options = ("--roster", tmp_path / "roster.txt", "--budget-unit", "flops", "--target", 500)
    assert lab_command("init", tmp_path / "course", *options) == 0
    lab = open_lab(tmp_path / "course")
    assert [*lab.keys()] == ["Ann Lee", "Bob"]
    assert (lab.settings.budget_unit, lab.settings.target_seconds) == ("flops", 500)


def test_data_is_a_run_table(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(open_lab(folder), "student-002", 4)
    out = tmp_path / "runs.csv"
    assert lab_command("data", "--lab", folder, "--student", "student-002", "--out", out) == 0
    table = load_runs(out)
    assert len(table) == 4
    assert (table.D_R == 4096 * 100).all()
    frame = pd.read_csv(out)
    assert all(frame["flops"] > 0.9 * frame["flops_6nd"])
    assert frame["status"].tolist() == ["finished"] * 4
    assert "no such file" not in capsys.readouterr().err
    written = out.read_bytes()
    for name, why in (("x", "none of this name"), ("student-001", "has no runs yet")):
        assert why in refusal(capsys, "data", "--lab", folder, "--student", name, "--out", out)
    assert out.read_bytes() == written


def test_verify_freeze_and_refund(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(open_lab(folder), "student-001", 2)
    assert lab_command("verify", folder) == 0
    assert "3 students, 2 runs, 2 seconds used: the ledger explains every one" in capsys.readouterr().out
    assert lab_command("refund", folder, "--experiment", 1, "--reason", "a node failed") == 0
    assert "experiment 1: 1 second given back" in capsys.readouterr().out
    more = ("--student", "student-001", "--reason", "ill")
    assert lab_command("refund", folder, *more, "--seconds", 50) == 0
    assert "1049 seconds left" in capsys.readouterr().out
    for at, said in (
        (["--at", "2030-01-02T03:04:05+01:00"], "2030-01-02T02:04:05Z"),
        (["--lift"], "no deadline"),
    ):
        assert lab_command("freeze", folder, *at) == 0
        assert said in capsys.readouterr().out
    assert lab_command("verify", folder) == 0
    assert "time zone" in refusal(capsys, "freeze", folder, "--at", "2030-01-02")
    assert "must be a time" in refusal(capsys, "freeze", folder, "--at", "tomorrow")
    assert "one of them" in refusal(capsys, "freeze", folder, "--lift", "--at", "2030-01-02T03:04:05Z")
    for amount in ("nan", "-1", "1e300"):
        assert f"--seconds {float(amount)}" in refusal(capsys, "refund", folder, *more, "--seconds", amount)
    assert "--student NAME" in refusal(capsys, "refund", folder, "--reason", "ill")
    assert "paid 0.0 seconds" in refusal(capsys, "refund", folder, "--experiment", 1, "--reason", "ill")
    assert "missing: --reason" in refusal(capsys, "refund", folder, "--experiment", 2)
    assert "--reason ' ': must have at least 1 character" in refusal(
        capsys, "refund", folder, "--experiment", 2, "--reason", " "
    )


def test_estimate(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_json()))
    assert lab_command("estimate", path) == 0
    assert "4.46M parameters (4.33M without the embedding), 16 steps" in capsys.readouterr().out
    assert lab_command("estimate", path, "--lab", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["seconds"] == pytest.approx(0.2588, rel=1e-3)
    path.write_text(json.dumps(config_json(total_train_tokens=4096 * 160_000)))
    assert lab_command("estimate", path) == 0
    assert "stopped before its end" in capsys.readouterr().out
    path.write_text(json.dumps(config_json({"head_dim": 3}, n_evals=0)))
    said = refusal(capsys, "estimate", path)
    assert "architecture_config.head_dim" in said
    assert "n_evals" in said
    path.write_text(json.dumps(config_json({"hidden_size": 100})))
    assert "hidden_size must equal" in refusal(capsys, "estimate", path)
    assert "No such file" in refusal(capsys, "estimate", tmp_path / "none.json")
    path.write_text('{"a":')
    assert "config.json: Invalid JSON" in refusal(capsys, "estimate", path)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["magic"], "unknown action 'magic': known are init"),
        (["init", "x"], "--students N, or --roster FILE"),
        (["init", "x", "--students", "0"], "from 1 to"),
        (["init", "x", "--students", "3", "--roster", "y"], "--students N, or --roster FILE"),
        (["init", "x", "--students", "3", "--backend", "magic"], "unknown backend 'magic'"),
        (["init", "x", "--students", "3", "--backend", "table"], "--table FILE"),
        (["init", "x", "--students", "3", "--budget", "0"], "--budget 0.0: must be a positive number"),
        (["init", "x", "--students", "3", "--target", "-1"], "--target -1.0"),
        (["init", "x", "--students", "3", "--budget", "1e300"], "at most 100,000,000"),
        (["init", "x", "--students", "3", "--table", "runs.csv"], "--backend surrogate reads no table"),
        (["build", "--out", "x", "--student", " "], "--student: whose tables?"),
        (["serve", "/nowhere"], "holds no lab"),
        (["verify", "/nowhere"], "holds no lab"),
        (["serve", "x", "--port", "70000"], "--port 70000"),
    ],
)
def test_refusals(argv: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert why in refusal(capsys, *argv)
    assert sorted(tmp_path.iterdir()) == before


def test_a_wrong_address_to_listen_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--host nowhere.invalid" in refusal(capsys, "serve", folder, "--host", "nowhere.invalid")
    assert "--host 192.0.2.1" in refusal(capsys, "serve", folder, "--host", "192.0.2.1")


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    found = refusal(capsys, "serve", "x")
    assert found == "isoflop: isoflop lab needs sqlalchemy: pip install 'isoflop[lab]' (a clone: '.[lab]')\n"
    assert lab_command("--help") == 0
