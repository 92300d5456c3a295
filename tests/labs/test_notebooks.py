"""The course's notebooks: both editions, their checks, and the command that builds them."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import os
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

pytestmark = pytest.mark.xdist_group("notebooks")
"""One process: what `built` executes takes minutes."""
STUDENTS = ("ada", "bob")
NAMES = [path.stem for path in sources()]
TAGS = {"answer", "student", "instructor", "scale"}


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
    public = {"isoflop", "matplotlib.pyplot", "numpy", "pandas"}
    assert imports <= public | sys.stdlib_module_names


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_the_students_edition_holds_no_answer_and_needs_none(path: Path) -> None:
    """By its text: what no cell makes, none uses; and what is None is only shown or checked."""
    edition = student_edition(read(path))
    text = "\n".join(cell.source for cell in edition.cells if cell.cell_type == "code")
    for cell in read(path).cells:
        if "answer" in cell.metadata.get("tags", []):
            assert not [line for line in cell.source.splitlines() if line in text.splitlines()]
    assert 'STUDENT = "your name"' in text
    tree = ast.parse(text)
    assert _used(tree) <= _made(tree) | set(dir(builtins))
    unanswered = re.compile(r"(answer|prediction)_\d+")
    bare = [name for node in ast.walk(tree) if _takes_none(node) for name in ast.iter_child_nodes(node)]
    assert not [name for name in _loaded(tree) if unanswered.fullmatch(name.id) and name not in bare]


def _takes_none(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("check", "repr")
    if isinstance(node, ast.FormattedValue):
        return node.format_spec is None
    return isinstance(node, ast.BoolOp)  # "... or what else"


def _loaded(tree: ast.AST) -> list[ast.Name]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]


def _used(tree: ast.AST) -> set[str]:
    return {name.id for name in _loaded(tree)}


def _made(tree: ast.AST) -> set[str]:
    nodes = list(ast.walk(tree))
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    imports = {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    return stored | functions | arguments | imports


@pytest.mark.slow
def test_a_students_edition_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib.use("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    (path,) = (path for path in sources() if path.stem.endswith("inference_trap"))
    names: dict[str, Any] = {}
    for cell in student_edition(read(path)).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            exec(cell.source, names)
            plt.close("all")
    assert names["check"](1, names["answer_1"]).text == "No answer yet."


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both editions, as the command makes them: every notebook is executed once."""
    out = tmp_path_factory.mktemp("course") / "new"
    kept = {  # notebooks fit the same tables: JAX may keep its programs from one to the next
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("jax")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "isoflop", "lab", "build", "--out", str(out), "--small"],
        env=os.environ | kept, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return out


@pytest.mark.slow
def test_the_command_writes_both_editions_and_the_tutor(built: Path) -> None:
    assert "tutor" in (built / "student" / "AGENTS.md").read_text()
    for edition in ("instructor", "student"):
        assert sorted(path.stem for path in (built / edition).glob("*.ipynb")) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_instructors_edition_shows_figures_and_right_answers(name: str, built: Path) -> None:
    notebook = nbformat.read(built / "instructor" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in code[0].outputs)  # it opens with a figure
    said = "".join(output["text"] for output in outputs if output.get("name") == "stderr")
    assert "Warning" not in said  # a sweep tells there how far it is
    drawn = _that_draw(code)
    assert all(any("image/png" in output.get("data", {}) for output in cell.outputs) for cell in drawn)
    checks = [cell for cell in code if CHECK.match(cell.source)]
    assert [_said(cell) for cell in checks] == ["Right."] * len(checks)
    expected = [_said(cell) for cell in code if "instructor" in cell.metadata.get("tags", [])]
    assert len(expected) == len(checks)
    assert all("is expected" in said for said in expected)


def _that_draw(code: list[Any]) -> list[Any]:
    """The cells that open a figure, themselves or by a function that another cell defines."""
    trees = [ast.parse(cell.source) for cell in code]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    draw = {"subplots"} | {each.name for each in functions if "subplots" in _called(each)}
    now = [[node for node in tree.body if not isinstance(node, ast.FunctionDef)] for tree in trees]
    return [
        cell
        for cell, nodes in zip(code, now, strict=True)
        if draw & {n for node in nodes for n in _called(node)}
    ]


def _called(tree: ast.AST) -> set[str]:
    """The names of what is called, without what they belong to."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {ast.unparse(call.func).rpartition(".")[2] for call in calls}


def _said(cell: Any) -> str:
    return cell.outputs[0]["data"]["text/plain"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_is_handed_out_has_no_outputs(name: str, built: Path) -> None:
    notebook = nbformat.read(built / "student" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert not [cell for cell in notebook.cells if "solved" in cell.source]


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
