"""Grades: no config beats the answer key, and each figure is what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.__main__ import _run
from isoflop.labs.admission import run_violations
from isoflop.labs.backends import load_backend
from isoflop.labs.backends.surrogate import expected_losses
from isoflop.labs.contract.interval import Interval
from isoflop.labs.contract.training_config import AdamWConfig, LrScheduler, TrainingConfig
from isoflop.labs.grading.best_config import best_config
from isoflop.labs.grading.grade import Grade, grade_class
from isoflop.labs.grading.report import class_csv, class_html
from isoflop.labs.grading.student_page import file_name, student_html
from isoflop.labs.lab import Lab, new_lab, new_lab_id
from isoflop.labs.own_fits import fit_runs
from isoflop.labs.settings import Settings
from isoflop.labs.store.database import Database
from isoflop.labs.store.finals import save_final
from isoflop.labs.store.opening import open_store
from isoflop.labs.store.students import student_named
from isoflop.labs.truth import truth_of
from tests.support.labs import make_lab, training_config

NAMES = ("ann", "bob", "=evil()", "<b>x</b>")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    settings = Settings(lab_id=new_lab_id(), backend="surrogate", target_seconds=2000.0)
    return new_lab(tmp_path / "lab", settings, NAMES)


@pytest.fixture
def store(lab: Lab) -> Iterator[Database]:
    opened = open_store(lab, None)
    yield opened
    opened.close()


def best_of(lab: Lab, student: str) -> tuple[TrainingConfig, float]:
    best = best_config(truth_of(lab.secret, student), lab.settings)
    assert best is not None
    return best.config, best.loss


def graded(lab: Lab, store: Database, student: str, config: TrainingConfig, loss: float = 3.0) -> Grade:
    with store.write() as connection:
        save_final(connection, student_named(connection, student).id, config, loss)
    return next(grade for grade in grade_class(lab, store) if grade.student == student)


def with_steps(config: TrainingConfig, share: float) -> TrainingConfig:
    step = 512 * config.train_batch_size
    tokens = max(1, round(config.total_train_tokens * share / step)) * step
    return config.model_copy(update={"total_train_tokens": tokens})


@pytest.mark.parametrize("student", ["ann", "bob"])
@pytest.mark.parametrize("unit", ["seconds", "flops"])
def test_the_answer_key_is_legal_and_nothing_near_it_is_better(
    student: str, unit: str, tmp_path: Path
) -> None:
    lab = make_lab(tmp_path / unit, target_seconds=3000.0, budget_unit=unit)
    config, loss = best_of(lab, student)
    backend, truth = load_backend(lab), truth_of(lab.secret, student)
    assert run_violations(config, lab.settings, backend) == []
    spent = backend.price(config).seconds
    assert 0.99 * 3000 < spent <= 3000
    assert loss == expected_losses(truth, config, lab.settings)[-1]
    shape = config.architecture_config
    rng = np.random.default_rng(0)
    tried = 0
    for _ in range(300):
        heads = max(1, round(shape.num_attention_heads * np.exp(rng.normal(0, 0.4))))
        layers = max(1, round(shape.num_hidden_layers * np.exp(rng.normal(0, 0.4))))
        other = shape.model_copy(
            update={
                "num_attention_heads": heads, "num_key_value_heads": heads, "hidden_size": 64 * heads,
                "num_hidden_layers": layers,
                "intermediate_size": 64 * max(heads, round(8 / 3 * heads * rng.uniform(0.6, 1.6))),
            }
        )  # fmt: skip
        batch = int(2 ** rng.integers(0, 9))
        rate = config.optimizer_config.lr_scheduler.peak_value * np.exp(rng.normal(0, 1))
        optimizer = AdamWConfig(lr_scheduler=LrScheduler(peak_value=float(rate), final_lr_frac=0.0))
        one_step = config.model_copy(
            update={
                "architecture_config": other, "train_batch_size": batch, "optimizer_config": optimizer,
                "total_train_tokens": 512 * batch,
            }
        )  # fmt: skip
        price = backend.price(one_step)
        steps = int((3000 - price.evaluation_seconds) / price.step_seconds)
        if steps < 1:
            continue
        rival = one_step.model_copy(update={"total_train_tokens": 512 * batch * steps})
        assert expected_losses(truth, rival, lab.settings)[-1] > loss - 1e-6
        tried += 1
    assert tried > 100


def test_the_answer_key_has_no_regret_and_its_loss_is_predictable(lab: Lab, store: Database) -> None:
    config, loss = best_of(lab, "ann")
    grade = graded(lab, store, "ann", config, loss)
    assert grade.run is not None
    assert grade.run.regret == 0
    assert set(grade.run.losses_by_choice.values()) == {0.0}
    assert grade.prediction_error is not None
    assert grade.truth is not None
    assert 0 < abs(grade.prediction_error) < 5 * grade.truth.seed_noise


def test_regret_is_divided_among_the_choices_that_made_it(lab: Lab, store: Database) -> None:
    config, _ = best_of(lab, "ann")
    schedule = config.optimizer_config.lr_scheduler
    slow = LrScheduler(peak_value=schedule.peak_value / 3, final_lr_frac=0.5)
    worse = config.model_copy(update={"optimizer_config": AdamWConfig(lr_scheduler=slow)})
    run = graded(lab, store, "ann", worse).run
    assert run is not None
    assert run.regret == pytest.approx(sum(run.losses_by_choice.values()))
    truth = truth_of(lab.secret, "ann")
    assert run.losses_by_choice["learning rate"] == pytest.approx(truth.rate_curvature * np.log(3) ** 2)
    assert run.losses_by_choice["schedule"] == pytest.approx(0.5 * truth.annealing)
    assert abs(run.losses_by_choice["size, data and batch"]) < 1e-12


def test_a_config_above_the_target_is_stopped_there(lab: Lab, store: Database) -> None:
    config, _ = best_of(lab, "ann")
    twice = with_steps(config, 2.0).model_copy(update={"n_evals": 1})
    unfinished = graded(lab, store, "ann", twice).run
    assert unfinished is not None
    assert (unfinished.loss, unfinished.regret) == (None, None)
    step = 512 * config.train_batch_size
    halves = config.model_copy(
        update={"n_evals": 4, "total_train_tokens": 4 * step * (twice.total_train_tokens // step // 4)}
    )
    run = graded(lab, store, "ann", halves).run
    assert run is not None
    assert "stopped at evaluation" in run.note
    assert run.regret is not None
    assert run.regret > 0


def test_a_diverging_config_has_no_loss(lab: Lab, store: Database) -> None:
    hot = AdamWConfig(lr_scheduler=LrScheduler(peak_value=1000.0))
    grade = graded(lab, store, "ann", training_config().model_copy(update={"optimizer_config": hot}))
    assert grade.run is not None
    assert (grade.run.loss, grade.run.regret, grade.prediction_error) == (None, None, None)
    assert "diverged" in grade.run.note


def test_intervals_are_scored(lab: Lab, store: Database) -> None:
    config, loss = best_of(lab, "ann")
    with store.write() as connection:
        for student, low, high in (("ann", loss - 0.1, loss + 0.1), ("bob", 0.5, 1.0)):
            number = student_named(connection, student).id
            save_final(connection, number, config, (low + high) / 2, Interval(low=low, high=high, level=0.8))
    grades = {grade.student: grade for grade in grade_class(lab, store)}
    assert grades["ann"].covered
    assert grades["ann"].interval_score == pytest.approx(0.2)
    bob = grades["bob"]
    assert not bob.covered
    assert bob.interval_loss is not None
    assert bob.interval_score == pytest.approx(0.5 + 2 / 0.2 * (bob.interval_loss - 1.0))
    assert bob.run is None


def test_the_class_report(
    lab: Lab, store: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, loss = best_of(lab, "ann")
    with store.write() as connection:
        save_final(connection, student_named(connection, "ann").id, config, loss + 0.25)
        save_final(connection, student_named(connection, "bob").id, with_steps(config, 0.25), loss)
    assert _run(["lab", "grade", str(lab.folder), "--out", str(tmp_path / "grades")]) == 0
    said = capsys.readouterr().out
    assert "final submissions" in said
    frame = pd.read_csv(tmp_path / "grades" / "class.csv")
    assert frame["student"].tolist() == ["ann", "bob", "<b>x</b>", "'=evil()"]
    assert frame["regret"].iloc[0] == 0 < frame["regret"].iloc[1]
    assert frame["prediction_error"].iloc[0] == pytest.approx(0.25, abs=0.02)
    assert frame["note"].iloc[2] == "no final submission"
    for name in ("E", "A", "alpha", "B", "beta"):
        assert frame[f"true_{name}"].iloc[0] == pytest.approx(getattr(truth_of(lab.secret, "ann"), name))
    assert all(frame["a_approach_3"].isna())
    page = (tmp_path / "grades" / "class.html").read_text()
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x" not in page
    for name in NAMES:
        assert f'href="students/{file_name(name)}"' in page
        own = (tmp_path / "grades" / "students" / file_name(name)).read_text()
        assert "<b>x" not in own
        assert "no completed runs" in own
    assert "size, data and batch" in (tmp_path / "grades" / "students" / file_name("bob")).read_text()


def test_page_files_are_plain_and_no_two_meet() -> None:
    names = [
        "ann",
        "Ann",
        "ANN",
        "a/../b",
        "../ann",
        ".ann",
        "",
        "a" * 200,
        "Æneas",
        "é",
        "ë",
        "con ",
        "x\u202ey",
    ]
    files = [file_name(name) for name in names]
    assert files[0] == "ann.html"
    assert len({file.casefold() for file in files}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}\.html", file) for file in files)


def test_a_class_without_submissions_and_a_target_too_small(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", target_seconds=0.001)
    store = open_store(lab, None)
    grades = grade_class(lab, store)
    store.close()
    assert [grade.best for grade in grades] == [None, None, None]
    fits = {grade.student: fit_runs([], lab.settings) for grade in grades}
    assert "no config at all" in student_html(grades[0], fits[grades[0].student], lab.settings)
    assert class_html(grades, fits, lab.settings).count("no final submission") == 3
    assert class_csv(grades, fits, lab.settings).count("no final submission") == 3
