"""The scripted class: it plays over HTTP, the report shows what each did, and an interrupt leaves nothing."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.commands.lab.grade import grade_and_report
from isoflop.labs.demo.play import play_class
from isoflop.labs.demo.students import CLASS
from isoflop.labs.grading.student_page import file_name
from isoflop.labs.lab import Lab, open_lab
from isoflop.labs.store.audit import audit
from isoflop.labs.store.opening import open_store
from isoflop.labs.truth import truth_of
from tests.support.devtools import browser_tab

PLAYERS = ("careful", "twenty-to-one", "edge-of-grid", "overspender", "late")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, list[str]]:
    """A lab that half of the class played, with its grades; and what was said."""
    folder, said = tmp_path_factory.mktemp("demo") / "lab", []
    with pytest.MonkeyPatch.context() as patch:  # the same laws and noise each time
        patch.setattr(secrets, "token_bytes", lambda n: b"7" * n)
        lab = play_class(folder, said.append, {name: CLASS[name] for name in PLAYERS})
    store = open_store(lab, None)
    with store.read() as connection:
        assert audit(connection) == []
    grade_and_report(lab, store, folder / "grades")
    store.close()
    return lab, said


def page(lab: Lab, name: str) -> str:
    return (lab.folder / "grades" / "students" / file_name(name)).read_text()


def test_the_grades_tell_the_students_apart(played: tuple[Lab, list[str]]) -> None:
    lab, said = played
    frame = pd.read_csv(lab.folder / "grades" / "class.csv")
    rows = {str(row["student"]): row for row in frame.to_dict("records")}
    careful, regrets = rows["careful"], frame["regret"].to_numpy(float)
    assert next(iter(rows)) == "careful"
    assert [*rows][-1] == "late"
    assert np.all(np.diff(regrets[:-1]) >= 0)
    assert regrets[0] < 0.05
    for method, most in (("argmin", 0.1), ("parabola", 0.06), ("approach_3", 0.04)):
        assert abs(careful[f"a_{method}"] - careful["true_a"]) < most
    truth = truth_of(lab.secret, "careful")
    # In exact FLOPs the exponent is a little off the closed form, which is that of C = 6ND.
    assert careful["true_a"] == pytest.approx(truth.beta / (truth.alpha + truth.beta), abs=0.03)
    assert not rows["twenty-to-one"]["a_approach_3_identified"]
    assert np.isnan(rows["edge-of-grid"]["a_parabola"])
    assert "stopped at evaluation" in rows["overspender"]["note"]
    assert any("late: refused, 403" in line for line in said)


def test_the_pages_say_what_would_have_been_better(played: tuple[Lab, list[str]]) -> None:
    lab, _ = played
    careful = page(lab, "careful")
    assert careful.count("<svg") == 2
    assert "10¹⁷" in careful
    assert re.search(r"The interval from .* stated at 90%", careful)
    assert "the minimum lies at or beyond the smallest size" in page(lab, "edge-of-grid")
    assert "are not identified" in page(lab, "twenty-to-one")
    assert "without an IsoFLOP budget" in page(lab, "twenty-to-one")
    assert "4 usable runs for the 5 parameters" in page(lab, "overspender")
    assert "learning rate" in page(lab, "overspender")


@pytest.mark.parametrize("width", [390, 1200])
def test_the_pages_fit_a_phone_and_the_dark(played: tuple[Lab, list[str]], width: int) -> None:
    lab, _ = played
    with browser_tab() as tab:
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=800, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        tab.call("Emulation.setEmulatedMedia", features=dark)
        tab.open((lab.folder / "grades" / "class.html").as_uri())
        tab.wait("document.querySelector('h1')?.textContent === 'Class report'")
        assert tab.value("document.scrollingElement.scrollWidth") <= width
        tab.click('a[href="students/careful.html"]')
        tab.wait("document.querySelector('h1')?.textContent === 'careful'")
        assert tab.value("document.scrollingElement.scrollWidth") <= width
        assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 30)"
        shown = tab.value("[...document.querySelectorAll('svg')].filter((e) => e.clientWidth > 0).length")
        assert shown == 1
        assert tab.errors == []


def test_an_interrupt_leaves_nothing_running(tmp_path: Path) -> None:
    out = tmp_path / "lab"
    with subprocess.Popen(
        [sys.executable, "-m", "isoflop", "lab", "demo", "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env=os.environ | {"HOME": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert "the lab is at http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
    assert said.splitlines()[-1] == (
        f"stopped: server, workers and students have ended; their lab is in {out}"
    )
    left = subprocess.run(["pgrep", "-f", f"worker {out}"], capture_output=True, text=True, check=False)
    assert left.stdout == ""
    assert list(open_lab(out).keys()) == list(CLASS)
