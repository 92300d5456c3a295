"""`isoflop fit --curves` and `isoflop predict --schedule`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isoflop.__main__ import _run
from isoflop.analysis import find_curve_law, known_curve_laws
from tests.support.loss_curves import simulated, write


@pytest.fixture
def curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three curves of the annealing law."""
    folder = tmp_path / "curves"
    folder.mkdir()
    for curve in simulated("tissue", ("constant", "cosine", "wsd:decay=0.3"), noise=3e-4, phi=0.7):
        write(curve, folder / f"{curve.name}.csv")
    monkeypatch.chdir(tmp_path)
    return folder


def said(capfd: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    capfd.readouterr()
    try:
        status = _run(list(argv))
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capfd.readouterr()
    return status, out, err


FIT = ("fit", "--curves", "curves", "--law", "tissue", "--starts", "8", "--warmup-steps", "400")


def test_fits_prints_and_predicts(curves: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--bootstrap", "40", "--holdout", "wsd", "--schedule", "linear", "--out", "fitted", "--strict")
    status, out, err = said(capfd, *FIT, *options)
    assert status == 0, err
    assert all(line.startswith("note: ") for line in err.splitlines())
    for part in ("law tissue: 2 curves", "alpha", "certified", "held out", "wsd", "linear:final=0.1"):
        assert part in out
    assert all(len(line) <= 110 for line in out.splitlines())
    status, out, err = said(capfd, "predict", "fitted", "--schedule", "cosine", "--schedule", "best")
    assert status == 0
    assert "cosine:final=0.1" in out
    assert "wsd:final=0.1,decay=" in out


def test_json_is_one_object(curves: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capfd, *FIT, "--bootstrap", "0", "--holdout", "cosine", "--compete", "--json")
    assert status == 0
    found = json.loads(out)
    assert found["kind"] == "curves"
    assert found["intervals"] is None
    assert found["certificate"]["status"] == "certified"
    assert {row["law"] for row in found["competition"]} == {"luo", "summed_rate", "tissue"}
    assert found["holdout"][0]["name"] == "cosine"


def test_published_constants_by_name(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capfd, "predict", "luo:100m", "--schedule", "cosine:steps=72000", "--json")
    assert status == 0
    assert json.loads(out)["schedules"][0]["steps"] == 72000
    assert "times the largest that was fitted" in err


@pytest.mark.parametrize("name", known_curve_laws())
def test_laws_shows_them(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    law = find_curve_law(name)
    status, out, _ = said(capfd, "laws", name)
    assert status == 0
    assert law.equation in out
    assert f"isoflop fit --curves PATHS --law {name}" in out
    assert all(f"{name}:{each.name}" in out for each in law.published)
    listed = said(capfd, "laws")[1]
    assert f"  {name} " in listed
    assert "schedules: whole loss curves" in listed
    described = json.loads(said(capfd, "laws", name, "--json")[1])[name]
    assert described["family"] == "schedules"
    assert set(described["published"]) == {each.name for each in law.published}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("fit", "--curves", "nosuch"), "no loss curve at nosuch"),
        (
            ("fit", "--curves", "curves", "--law", "chinchilla"),
            "chinchilla is a law of tables of runs: isoflop fit RUNS",
        ),
        (("fit", "--curves", "curves", "--flops", "exact"), "unknown option --flops"),
        (("fit", "--curves", "curves", "--columns", "lr"), "write new=old"),
        (("predict", "luo", "--schedule", "cosine"), "choose one of luo:25m, luo:100m, luo:400m"),
        (("predict", "luo:100m", "--flops", "1e20"), "it says where a schedule of learning rates ends"),
        (("predict", "luo:100m", "--flops", "1e20", "--schedule", "cosine"), "ask for one of the two"),
        (
            ("predict", "chinchilla:besiroglu", "--schedule", "cosine"),
            "is a law of runs, which knows no sched",
        ),
        (("predict", "tissue", "--schedule", "cosine"), "tissue has no published constants"),
        (("predict", "nosuch.json", "--schedule", "cosine"), "no fit nosuch.json"),
        (("predict", "curves/cosine.csv", "--schedule", "cosine"), "is no fit to loss curves"),
        (("fit", "public:multipower"), "holds loss curves, not runs: isoflop fit --curves public:multipower"),
    ],
)
def test_refusals(curves: Path, capfd: pytest.CaptureFixture[str], argv: tuple[str, ...], words: str) -> None:
    status, out, err = said(capfd, *argv)
    assert status == 2
    assert out == ""
    assert err.startswith("isoflop: ")
    assert err.count("\n") == 1
    assert words in err
