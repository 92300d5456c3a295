"""Finals: what is run and what not again, ranks with ties, and grades where no law is known."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.commands.lab import run as lab_command
from isoflop.labs.contract.fields import now
from isoflop.labs.contract.interval import Interval
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.grading.finals import jobs_to_run, run_finals
from isoflop.labs.grading.grade import Grade, grade_class
from isoflop.labs.grading.report import class_csv, class_html
from isoflop.labs.grading.standings import pooled_deviation, standings
from isoflop.labs.grading.student_page import student_html
from isoflop.labs.lab import Lab
from isoflop.labs.own_fits import fit_runs
from isoflop.labs.store.database import Database
from isoflop.labs.store.final_runs import all_final_runs
from isoflop.labs.store.finals import save_final
from isoflop.labs.store.freezing import freeze
from isoflop.labs.store.opening import open_store
from isoflop.labs.store.students import student_named
from tests.support.labs import make_lab, training_config

KILLED_AT_THE_THIRD = """
import os, signal
from pathlib import Path
from isoflop.labs.backends.backend import Outcome
from isoflop.labs.backends.surrogate import Surrogate

LOG, MARK = Path(__file__).with_name("log"), Path(__file__).with_name("killed")

class Killed(Surrogate):
    def train(self, student, config, report):
        with LOG.open("a") as log:
            log.write(f"{student} {config.model_seed} {config.max_runtime_seconds}\\n")
        if len(LOG.read_text().splitlines()) > 2 and not MARK.exists():
            MARK.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(7.0, (5.0 + config.train_batch_size / 100 + config.model_seed / 1000,))

class Unknown:
    # The surrogate's rules, and no law to grade by.
    def __init__(self, lab):
        self.inner = Killed(lab)
        self.violations, self.price = self.inner.violations, self.inner.price
        self.final_violations = self.inner.final_violations
        self.train = self.inner.train

def open_backend(lab):
    return Unknown(lab)
"""


def submit_final(store: Database, student: str, config: TrainingConfig, loss: float = 5.0) -> None:
    with store.write() as connection:
        save_final(connection, student_named(connection, student).id, config, loss)


def freeze_now(store: Database) -> None:
    with store.write() as connection:
        freeze(connection, now())


def run_all(lab: Lab, store: Database, n_seeds: int = 2, n_workers: int = 1) -> list[str]:
    """Who was run, in order."""
    said: list[str] = []
    with store.read() as connection:
        jobs = jobs_to_run(connection, lab.settings, n_seeds)
    assert (
        run_finals(
            lab, store, jobs, n_workers, lambda job, _: said.append(f"{job.student} {job.config.model_seed}")
        )
        == 0
    )
    return said


def killed_lab(folder: Path) -> Lab:
    backend = folder / "killed.py"
    backend.write_text(KILLED_AT_THE_THIRD)
    return make_lab(folder / "lab", backend=str(backend), target_seconds=5e6)


def test_finals_killed_in_the_middle_go_on_and_lose_no_run_that_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = killed_lab(tmp_path)
    with pytest.raises(UserError, match="isoflop lab freeze DIR"):
        lab_command(["finals", str(lab.folder)])
    store = open_store(lab, None)
    freeze_now(store)
    with pytest.raises(UserError, match=r"no final submissions to run: .* isoflop lab freeze DIR --lift"):
        lab_command(["finals", str(lab.folder)])
    for batch, student in ((8, "ann"), (16, "bob"), (4, "eve")):
        submit_final(store, student, training_config(train_batch_size=batch, model_seed=4))
    with pytest.raises(UserError, match="3 submissions of the class still to be run"):
        grade_class(lab, store)
    command = [sys.executable, "-m", "isoflop", "lab", "finals", str(lab.folder)]
    dead = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert dead.returncode == -signal.SIGKILL
    assert dead.stdout.count("\n") == 2
    assert lab_command(["finals", str(lab.folder)]) == 0
    assert "4 of 4: eve, seed 5: loss 5.0450 after 7 seconds" in capsys.readouterr().out
    log = (tmp_path / "log").read_text().splitlines()
    # The third died, and was run again; none of the others was. The target is what is reserved.
    assert log.pop(2) == "eve 4 5000000.0"
    assert sorted(log) == sorted(
        f"{name} {seed} 5000000.0" for name in ("ann", "bob", "eve") for seed in (4, 5)
    )
    assert run_all(lab, store) == []
    assert run_all(lab, store, n_seeds=3) == ["ann 6", "bob 6", "eve 6"]
    grades = grade_class(lab, store)
    store.close()
    assert [grade.student for grade in grades] == ["eve", "ann", "bob"]
    assert [grade.run and grade.run.regret for grade in grades] == pytest.approx([0.0, 0.04, 0.12])
    assert [grade.prediction_error for grade in grades] == pytest.approx([-0.044, -0.084, -0.164])
    assert [grade.standing and grade.standing.rank for grade in grades] == [1, 2, 3]


def test_a_worker_that_dies_loses_no_run_that_ended(tmp_path: Path) -> None:
    lab = killed_lab(tmp_path)
    store = open_store(lab, None)
    for student in ("ann", "bob", "eve"):
        submit_final(store, student, training_config())
    freeze_now(store)
    with pytest.raises(UserError, match="a worker died"):
        run_all(lab, store, n_workers=2)
    with store.read() as connection:
        ended = len(all_final_runs(connection))
    assert ended < 6  # the other worker may have ended all but one before it was seen
    assert len(run_all(lab, store)) == 6 - ended
    store.close()


def table_lab(folder: Path) -> Lab:
    (folder / "runs.csv").write_text(
        "n_params_non_embedding,n_tokens,loss\n4.2e6,65536,5.5\n4.2e6,32768,6.0\n1e8,1e9,3.0\n"
    )
    return make_lab(folder / "lab", backend="table", table="../runs.csv")


def test_grades_of_a_table_are_over_the_best_of_the_class(tmp_path: Path) -> None:
    lab = table_lab(tmp_path)
    store = open_store(lab, None)
    submit_final(store, "ann", training_config(total_train_tokens=32_768), 6.5)
    submit_final(store, "bob", training_config(), 5.25)
    submit_final(store, "eve", training_config(total_train_tokens=65_536 * 4), 4.0)
    with store.write() as connection:
        bob = student_named(connection, "bob").id
        save_final(connection, bob, training_config(), 5.5, Interval(low=5.4, high=5.6, level=0.8))
    freeze_now(store)
    assert run_all(lab, store) == ["ann 0", "bob 0", "eve 0", "ann 1", "bob 1", "eve 1"]
    grades = {grade.student: grade for grade in grade_class(lab, store)}
    store.close()
    ann, bob, eve = (grades[name] for name in ("ann", "bob", "eve"))
    assert list(grades) == ["bob", "ann", "eve"]
    assert [one.run and one.run.regret for one in (bob, ann, eve)] == [0.0, 0.5, None]
    assert (bob.prediction_error, ann.prediction_error) == (-0.25, 0.5)
    assert (bob.covered, bob.interval_score) == (True, pytest.approx(0.2))
    assert [one.standing and one.standing.rank for one in (bob, ann, eve)] == [1, 2, None]
    assert eve.run
    assert "no run within 10%" in eve.run.note
    assert (bob.truth, bob.best) == (None, None)
    fits = {name: fit_runs([], lab.settings) for name in grades}
    assert "no run within 10%" in class_csv(list(grades.values()), fits, lab.settings)
    assert "no run within 10%" in class_html([bob, eve], fits, lab.settings)
    page = student_html(bob, fits["bob"], lab.settings)  # which knows no law and no best config
    assert "Rank 1. Regret 0.0000 nats" in page


def test_a_surrogates_finals_are_ranked_by_regret_and_need_no_run(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    store = open_store(lab, None)
    configs = {"ann": training_config(), "bob": training_config(total_train_tokens=2**22)}
    for student, config in configs.items():
        submit_final(store, student, config)
    freeze_now(store)
    before = grade_class(lab, store)
    run_all(lab, store, n_seeds=5)
    after = {grade.student: grade for grade in grade_class(lab, store)}
    store.close()
    assert [grade.standing for grade in before] == [None, None, None]
    for grade in before:
        now_run = after[grade.student].run
        assert (grade.run and grade.run.regret) == (now_run and now_run.regret)
    bob = after["bob"]
    assert bob.run
    assert bob.standing
    assert bob.best
    assert bob.final_losses[0] == bob.run.loss
    assert len(set(bob.final_losses)) == 5
    assert bob.standing.rank == 1
    assert bob.standing.mean == pytest.approx(np.mean(bob.final_losses) - bob.best.loss)
    # The noise of seeds is .002 to .004 nats, and 4 + 4 degrees of freedom find it within a factor of 3.
    assert bob.standing.standard_error == pytest.approx(0.003 / 5**0.5, rel=2)
    assert after["eve"].standing is None


def test_who_cannot_be_told_apart_shares_a_rank() -> None:
    values = {"d": (1.0, 1.2), "a": (0.5, 0.7), "b": (0.55, 0.75), "c": (0.6, 0.75)}
    found = standings(values)
    assert {name: place.rank for name, place in found.items()} == {"a": 1, "b": 1, "c": 1, "d": 4}
    # By hand: squared deviations .02, .02, .02, .01125, of 4 degrees of freedom.
    assert pooled_deviation([*values.values()]) == (pytest.approx((0.07125 / 4) ** 0.5), 4)
    assert found["a"].standard_error == pytest.approx((0.07125 / 8) ** 0.5)


def test_without_a_second_seed_only_equals_share_a_rank() -> None:
    found = standings({"a": (1.0,), "b": (1.0,), "c": (1.0 + 1e-12,)})
    assert [(found[name].rank, found[name].standard_error) for name in "abc"] == [
        (1, None),
        (1, None),
        (3, None),
    ]
    assert standings({}) == {}


def test_equals_are_told_apart_as_seldom_as_the_level_says() -> None:
    drawn = np.random.default_rng(0).normal(size=(1000, 2, 3)).tolist()
    apart = [any(place.rank > 1 for place in standings({"a": a, "b": b}).values()) for a, b in drawn]
    assert np.mean(apart) == pytest.approx(0.05, abs=0.02)


def test_a_seed_that_diverges_leaves_no_rank(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    store = open_store(lab, None)
    wild = training_config(optimizer_config={"lr_scheduler": {"peak_value": 1e3}})
    submit_final(store, "ann", wild)
    freeze_now(store)
    run_all(lab, store)
    found: Grade = next(grade for grade in grade_class(lab, store) if grade.student == "ann")
    store.close()
    assert found.standing is None
    assert found.final_losses == ()
