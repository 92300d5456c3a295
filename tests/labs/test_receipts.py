"""Receipts: whose a result is, and that nobody else can say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.__main__ import _run
from isoflop.labs.contract.messages import ExperimentResponse
from isoflop.labs.lab import Lab
from isoflop.labs.receipts import check_receipts, receipt
from isoflop.labs.store.opening import open_store
from tests.support.labs import STUDENTS, make_lab, training_config

MOMENT = "2026-01-02T03:04:05Z"


def run_of(loss: float, number: int = 7) -> ExperimentResponse:
    status = {
        "status_type": "completed", "queued_at": MOMENT, "dispatched_at": MOMENT, "completed_at": MOMENT,
        "run_id": "r", "val_losses": [9.0, loss], "used_runtime_seconds": 2.0,
    }  # fmt: skip
    return ExperimentResponse.model_validate(
        {"experiment_id": number, "training_config": training_config(), "status": status}
    )


def test_a_receipt_names_its_student_and_no_other(lab: Lab, tmp_path: Path) -> None:
    text = receipt(lab, "ann", run_of(3.25))
    assert text is not None
    (found,) = check_receipts(lab, STUDENTS, f"My best run ({text}).")
    assert (found.text, found.student, found.experiment_id, found.loss) == (text, "ann", 7, "3.25")
    forged = [
        text.replace("3.25", "3.15"),
        text.replace(":7:", ":8:"),
        text[:-1] + ("0" if text[-1] != "0" else "1"),
    ]
    assert [one.student for one in check_receipts(lab, STUDENTS, "\n".join(forged))] == [None] * 3
    assert [one.student for one in check_receipts(make_lab(tmp_path / "other"), STUDENTS, text)] == [None]
    assert [*check_receipts(lab, STUDENTS, "no receipt here")] == []


def test_what_has_no_result_has_no_receipt(lab: Lab) -> None:
    queued = {"status_type": "queued", "queued_at": MOMENT}
    run = ExperimentResponse.model_validate(
        {"experiment_id": 1, "training_config": training_config(), "status": queued}
    )
    assert receipt(lab, "ann", run) is None


def test_verify_reads_a_write_up(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_store(lab, None).close()
    text = receipt(lab, "bob", run_of(3.25))
    assert text is not None
    write_up = tmp_path / "report.md"
    write_up.write_text(f"First {text}, then {text.replace('3.25', '2.25')}.")
    assert _run(["lab", "verify", str(lab.folder), "--write-up", str(write_up)]) == 1
    said = capsys.readouterr()
    assert "run 7, loss 3.25: bob" in said.out
    assert "run 7, loss 2.25: no receipt of this lab" in said.err
    write_up.write_text(text)
    assert _run(["lab", "verify", str(lab.folder), "--write-up", str(write_up)]) == 0
    write_up.write_text("My best run has a loss of 3.25.")
    assert _run(["lab", "verify", str(lab.folder), "--write-up", str(write_up)]) == 2
    assert "has no receipt in it: students copy theirs from" in capsys.readouterr().err
    assert _run(["lab", "verify", str(lab.folder), "--write-up", str(tmp_path / "none")]) == 2
