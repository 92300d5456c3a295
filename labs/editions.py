"""The course's notebooks in two editions: the instructor's, executed and with answers, and the student's.

The sources stand in labs/notebooks as Python in jupytext's percent format. Tags of cells say what becomes of
them: `answer` keeps only its names, set to None, in the student's edition; `student` names who answers;
`instructor` is the instructor's alone; `scale` has the SCALE of what is trained. Below a cell that checks an
exercise the instructor's edition shows the answer that is expected.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from isoflop.base.errors import UserError

CHECK = re.compile(r"^check\((\d+), ", re.MULTILINE)
EXERCISES = re.compile(r"isoflop\.exercises\(\"(\w+)\", STUDENT\)")
ASSIGNED = re.compile(r"^((?:answer|prediction)_\d+) = ", re.MULTILINE)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SECONDS_PER_CELL = 600
TUTOR = "tutor.md"
SMALL = 0.01
"""The SCALE at which a notebook that trains shows its steps in seconds."""

Notebook = Any
"""nbformat's NotebookNode, or one of its cells."""


def sources() -> list[Path]:
    """The notebooks' sources, in the course's order."""
    return sorted(_folder().glob("[0-9]*.py"))


def build(out: Path, student: str, say: Callable[[str], None], small: bool = False) -> None:
    """Writes `out`/instructor and `out`/student.

    Args:
        student: whose tables and expected answers the instructor's edition has.
        small: execute at the scale `SMALL` what trains.
        say: is told of each notebook that is done.

    Raises:
        UserError: `out` is a file, or a folder with something in it; `student` is empty.
    """
    import nbformat

    if not student.strip():
        raise UserError("--student: whose tables? Give a name")
    _make(out)
    for path in sources():
        began = time.monotonic()
        for edition, made in (
            ("student", student_edition(read(path))),
            ("instructor", instructor_edition(read(path), student, small)),
        ):
            nbformat.write(made, out / edition / f"{path.stem}.ipynb")
        say(f"{path.stem}: executed in {time.monotonic() - began:.0f} s")
    shutil.copyfile(_folder() / TUTOR, out / "student" / "AGENTS.md")


def read(path: Path) -> Notebook:
    """A source as a notebook."""
    import jupytext

    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    _number(notebook)
    return notebook


def student_edition(notebook: Notebook) -> Notebook:
    """Without answers, and with nothing executed."""
    notebook.cells = [cell for cell in notebook.cells if "instructor" not in _tags(cell)]
    for cell in notebook.cells:
        if "answer" in _tags(cell):
            names = dict.fromkeys(ASSIGNED.findall(cell.source))
            cell.source = "\n".join(f"{name} = None" for name in names)
        elif "student" in _tags(cell):
            cell.source = 'STUDENT = "your name"'
    return notebook


def instructor_edition(notebook: Notebook, student: str, small: bool = False) -> Notebook:
    """With the answers expected of `student`, executed in a folder that is then removed."""
    for cell in notebook.cells:
        if "student" in _tags(cell):
            cell.source = f"STUDENT = {student!r}"
        elif small and "scale" in _tags(cell):
            cell.source = f"SCALE = {SMALL}"
    notebook.cells = list(_with_expected(notebook.cells))
    _number(notebook)
    return _execute(notebook)


def _execute(notebook: Notebook) -> Notebook:
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as folder:
        # Sockets in a folder that is ours alone: by TCP any user of the machine could listen.
        sockets = AsyncKernelManager(
            kernel_name=KERNEL["name"], transport="ipc", connection_file=str(Path(folder) / "kernel.json")
        )
        client = NotebookClient(
            notebook,
            km=sockets,
            timeout=SECONDS_PER_CELL,
            startup_timeout=SECONDS_PER_CELL,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        # In a thread, where nbclient leaves signals to us: its own end the kernel alone.
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(asyncio.run, client.async_execute(cleanup_kc=True))
            try:
                return running.result()
            except KeyboardInterrupt:
                if sockets.provisioner is not None:  # no kernel outlives its notebook
                    asyncio.run(sockets.provisioner.kill())
                raise


def _with_expected(cells: list[Notebook]) -> Iterator[Notebook]:
    from nbformat.v4 import new_code_cell

    for cell in cells:
        yield cell
        for number in CHECK.findall(cell.source):
            yield new_code_cell(f"mine.solved[{int(number) - 1}]", metadata={"tags": ["instructor"]})


def _make(out: Path) -> None:
    try:
        if out.exists() and any(out.iterdir()):
            raise UserError(f"--out {out}: not empty; choose a new folder, so that nothing is overwritten")
        for edition in ("instructor", "student"):
            (out / edition).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from None


def _number(notebook: Notebook) -> None:
    """Ids that do not change from one build to the next."""
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place}"


def _tags(cell: Notebook) -> list[str]:
    return cell.metadata.get("tags", [])


def _folder() -> Path:
    return Path(str(importlib.resources.files("isoflop.labs"))) / "notebooks"
