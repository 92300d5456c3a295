"""The course's notebooks: both editions, their checks, and the command that builds them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jupytext
import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest

from isoflop.__main__ import _run
from isoflop.base.errors import UserError
from isoflop.labs.editions import CHECK, EXERCISES, read, sources, student_edition
from isoflop.labs.exercises import NOTEBOOKS, Exercises, exercises

STUDENTS = ("ada", "bob")
NAMES = [path.stem for path in sources()]
TAGS = {"answer", "student", "instructor"}


@pytest.fixture(scope="module")
def solved() -> dict[tuple[str, str], Exercises]:
    return {(name, student): exercises(name, student) for name in NOTEBOOKS for student in STUDENTS}


@pytest.mark.slow
@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_right_answer_passes_and_a_common_mistake_gets_its_hint(
    name: str, student: str, solved: dict[tuple[str, str], Exercises]
) -> None:
    mine = solved[name, student]
    for number, one in enumerate(mine.solved, 1):
        assert mine.check(number, one.expected).right
        assert mine.check(number, one.expected * (1 + one.tolerance / 2)).right
        assert not mine.check(number, None).right
        assert "off by" in mine.check(number, one.expected * 57.3).text
        for mistake in one.mistakes:
            verdict = mine.check(number, mistake.answer)
            assert not verdict.right, mistake
            assert mistake.hint in verdict.text
    assert 3 <= len(mine.solved) <= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_answers_are_a_students_own(name: str, solved: dict[tuple[str, str], Exercises]) -> None:
    ada, bob = (solved[name, student] for student in STUDENTS)
    other = [one for one, two in zip(ada.solved, bob.solved, strict=True) if one.expected != two.expected]
    assert len(other) >= 3
    again = exercises(name, " Ada ")  # as people write their names
    assert again.values == ada.values
    assert all(again.tables[key].equals(ada.tables[key]) for key in ada.tables)


def test_nothing_that_is_shown_holds_an_answer() -> None:
    assert repr(exercises("isoflops", "ada")) == "Exercises()"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: exercises("nope", "ada"), "isoflops"),
        (lambda: exercises("isoflops", " "), "name"),
        (lambda: exercises("inference", "ada").check(9, 1), "1 to 4"),
        (lambda: exercises("inference", "ada").check(1, "much"), "one number"),
        (lambda: exercises("inference", "ada").check(1, [1, 2]), "one finite number"),
        (lambda: exercises("inference", "ada").check(1, float("nan")), "one finite number"),
    ],
)
def test_a_mistake_in_the_call_is_one_line(wrong: Any, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        wrong()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_a_source_is_valid_and_checks_each_exercise_once(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    again = jupytext.reads(jupytext.writes(notebook, fmt="py:percent"), fmt="py:percent")
    assert [cell.source for cell in again.cells] == [cell.source for cell in notebook.cells]
    assert {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])} <= TAGS
    text = "\n".join(cell.source for cell in notebook.cells)
    (name,) = EXERCISES.findall(text)
    checked = [int(number) for number in CHECK.findall(text)]
    assert name in NOTEBOOKS
    assert checked == list(range(1, len(checked) + 1))
    assert re.findall(r"\*\*Exercise (\d+)\.\*\*", text) == [str(number) for number in checked]
    assert "**Predict first.**" in text
    assert "## What this has not shown" in notebook.cells[-1].source
    imports = set(re.findall(r"^(?:import|from) (\S+)", text, re.MULTILINE))
    assert imports <= {"isoflop", "matplotlib.pyplot", "numpy", "pandas"}  # the public names alone


@pytest.mark.slow
@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_the_students_edition_runs_as_it_is_and_holds_no_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib.use("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    source, edition = read(path), student_edition(read(path))
    text = "\n".join(cell.source for cell in edition.cells)
    for cell in source.cells:
        if "answer" in cell.metadata.get("tags", []):
            assert not [line for line in cell.source.splitlines() if line in text.splitlines()]
    names: dict[str, Any] = {}
    for cell in edition.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            exec(cell.source, names)
            plt.close("all")
    assert not names["check"](1, names["answer_1"]).right
    solved = exercises(EXERCISES.findall(text)[0], "your name").solved
    assert len(solved) == len(CHECK.findall(text))
    assert not [one for one in solved if f"{one.expected:.4g}" in text]


@pytest.mark.slow
def test_both_editions_are_built(tmp_path: Path) -> None:
    out = tmp_path / "course"
    done = subprocess.run(
        [sys.executable, "-m", "isoflop", "lab", "build", "--out", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert "tutor" in (out / "student" / "AGENTS.md").read_text()
    for edition in ("instructor", "student"):
        assert sorted(path.stem for path in (out / edition).glob("*.ipynb")) == NAMES
    for name in NAMES:
        _check_executed(nbformat.read(out / "instructor" / f"{name}.ipynb", as_version=4))
        student = (out / "student" / f"{name}.ipynb").read_text()
        nbformat.validate(nbformat.reads(student, as_version=4))
        assert "Instructor:" not in student
        assert "Right." not in student


def _check_executed(notebook: Any) -> None:
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in code[0].outputs)  # it opens with a figure
    assert not [output for output in outputs if output.get("name") == "stderr"]
    drawn = [cell for cell in code if "plt.subplots" in cell.source]
    assert all(any("image/png" in output.get("data", {}) for output in cell.outputs) for cell in drawn)
    checks = [cell for cell in code if CHECK.match(cell.source)]
    assert [cell.outputs[0]["data"]["text/plain"] for cell in checks] == ["Right."] * len(checks)
    expected = [cell for cell in notebook.cells if cell.source.startswith("*Instructor:")]
    assert len(expected) == len(checks)


def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.ipynb").write_text("{}")
    for out in (tmp_path, tmp_path / "mine.ipynb"):
        assert _run(["lab", "build", "--out", str(out)]) == 2
        assert str(out) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.ipynb"]


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jupytext" else found(name))
    assert _run(["lab", "build", "--out", str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert "jupytext: pip install 'isoflop[lab]'" in said
    assert said.count("\n") == 1
