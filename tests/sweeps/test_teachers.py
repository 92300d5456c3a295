"""Sweeps whose cells learn from a model that another sweep kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isoflop.analysis import load_runs
from isoflop.base.errors import UserError
from isoflop.sweeps.grids.config import Axis, SweepConfig
from isoflop.sweeps.plan import make_plan
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.teachers import with_teachers
from isoflop.train.data.corpus import Corpus
from tests.support.in_process import Runner
from tests.support.small import small_sweep
from tests.support.tables import read_rows


@pytest.fixture(scope="module")
def narrow(source_name: str) -> SweepConfig:
    """One cell of width 8."""
    return small_sweep(source_name, budgets=(1e8,), ladder=(8,), sizes=1, centre_width=8)


@pytest.fixture(scope="module")
def teachers(narrow: SweepConfig, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one kept model."""
    folder = tmp_path_factory.mktemp("teachers") / "kept"
    Runner(corpus)(narrow.with_options(keep="all", seed=3), folder)
    return folder


def teacher_of(folder: Path) -> str:
    """The name of its model."""
    return f"{folder}:{read_rows(folder)[0]['cell_id']}"


def test_students_and_their_twins_are_rows_of_one_table(
    run: Runner, narrow: SweepConfig, teachers: Path, tmp_path: Path
) -> None:
    """And the folder is whole by itself: the teacher's own may go."""
    gone = Path(shutil.copytree(teachers, tmp_path / "gone"))
    config = narrow.with_options(axes=(Axis("teacher", ("none", teacher_of(gone))),))
    out = tmp_path / "students"
    rows = run(with_teachers(config, out), out)
    alone, student = rows
    teacher = read_rows(gone)[0]
    assert (alone["teacher"], alone["teacher_loss"], alone["distillation_share"]) == ("", "", "")
    assert (student["teacher"], student["distillation_share"]) == (teacher["cell_id"], "1.0")
    assert (student["teacher_loss"], student["teacher_flops"]) == (teacher["loss"], teacher["flops"])
    assert student["flops"] == alone["flops"]  # its own alone
    # A teacher of the student's shape reads a token for a third of what the student's step takes.
    forward = int(student["teacher_token_flops"]) * int(student["n_tokens"])
    assert 3 * forward == int(student["flops"])
    assert student["loss"] != alone["loss"]
    shutil.rmtree(gone)
    assert run(with_teachers(config, out), out) == rows
    assert run.given == []
    for kind in ("cells", "segments", "checkpoints"):
        shutil.rmtree(out / kind, ignore_errors=True)
    again = run(with_teachers(config, out), out)
    assert [row["loss"] for row in again] == [row["loss"] for row in rows]
    table = load_runs(out, law="busbridge", where="teacher!=")
    assert table.frame["supervised_loss"].tolist() == [float(alone["loss"])]


def test_a_share_of_nothing_is_training_without_a_teacher(
    narrow: SweepConfig, corpus: Corpus, teachers: Path, tmp_path: Path
) -> None:
    config = with_teachers(narrow.with_options(teacher=teacher_of(teachers)), tmp_path)
    names = [
        make_plan(each, corpus).grid[0].cell.cell_id
        for each in (narrow, config, config.with_options(distillation_share=0.0))
    ]
    assert names[0] == names[2] != names[1]
    assert "besides" in " ".join(make_plan(config, corpus).warnings)


@pytest.mark.parametrize(
    ("teacher", "why"),
    [
        ("0123", "write FOLDER:CELL_ID"),
        ("nowhere:0123", "no folder nowhere"),
        ("{kept}:0123", "kept no model of that cell_id; it has "),
        ("{unkept}:0123", "--keep all"),
    ],
)
def test_a_teacher_that_is_none_is_refused(
    teacher: str, why: str, run: Runner, narrow: SweepConfig, teachers: Path, tmp_path: Path
) -> None:
    if "unkept" in teacher:
        run(narrow, tmp_path / "unkept")
    named = narrow.with_options(teacher=teacher.format(kept=teachers, unkept=tmp_path / "unkept"))
    with pytest.raises(UserError, match=why):
        with_teachers(named, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": {"vocab_size": 300}}, "has 300 token ids"),
        ({"data": {"tokenizer": "bpe-256"}}, "of tokenizer bpe-256"),
        ({"data": {"digest": "0"}}, "other text"),
        ({"model": {"context_length": 16}}, "windows of 16 tokens, and the students' have 32"),
        ({"model": {"architecture": "gone"}}, "gone"),
    ],
)
def test_a_teacher_that_cannot_teach_here_is_refused(
    changes: dict[str, dict[str, Any]],
    why: str,
    narrow: SweepConfig,
    corpus: Corpus,
    teachers: Path,
    tmp_path: Path,
) -> None:
    config = with_teachers(narrow.with_options(teacher=teacher_of(teachers)), tmp_path)
    (teacher,) = config.teachers
    strange = {name: replace(getattr(teacher, name), **values) for name, values in changes.items()}
    with pytest.raises(UserError, match=why):
        make_plan(config.with_options(teachers=(replace(teacher, **strange),)), corpus)


def test_a_share_outside_its_range_or_without_a_teacher_is_refused(narrow: SweepConfig) -> None:
    with pytest.raises(UserError, match="distillation_share"):
        narrow.with_options(teacher="a:b", distillation_share=1.5)
    with pytest.raises(UserError, match="there is no teacher"):
        narrow.with_options(distillation_share=0.5)


def test_a_damaged_copy_is_named(run: Runner, narrow: SweepConfig, teachers: Path, tmp_path: Path) -> None:
    config = with_teachers(narrow.with_options(teacher=teacher_of(teachers), retries=0), tmp_path)
    stopped = run(config, tmp_path, refuse=lambda task: "stopped")
    assert stopped[0]["status"] == "failed"
    (file,) = Store(tmp_path).teacher(config.teachers[0].cell_id).rglob("state.npz")
    file.write_bytes(b"torn")
    (row,) = run(config, tmp_path)
    assert "the copy of a teacher, is damaged" in row["reason"]
