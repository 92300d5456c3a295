"""The files, modules and names that README and docs mention exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.docs.commands import PAGES, ROOT

PACKAGES = "base|models|train|evals|sweeps|analysis|labs|isoflop|benchmarks|tests|docs"
FILE = re.compile(rf"(?<![\w./])((?:{PACKAGES})/[\w./-]+\.(?:py|md|png|csv|json))(?:: (\w+))?")
FOLDER = re.compile(rf"`((?:{PACKAGES})/(?:[\w-]+/)*)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
DOTTED = re.compile(r"(?<![\w/-])isoflop(?:\.[A-Za-z_]\w*)+")
PLACEHOLDER = re.compile(r"NAME|results/h200-ladder")
"""In names of files and folders that a reader is to make."""


def missing(page: Path) -> list[str]:
    """What a page names and is not there."""
    text = page.read_text(encoding="utf-8")
    absent = [f"{file}#{part}" for file, part in LINK.findall(text) if not leads(page, file, part)]
    folders = [folder for folder in FOLDER.findall(text) if not PLACEHOLDER.search(folder)]
    absent += [folder for folder in folders if not (ROOT / folder).is_dir()]
    for file, name in FILE.findall(text):
        if PLACEHOLDER.search(file):
            continue
        path = ROOT / file
        if not path.exists():
            absent.append(file)
        elif name and not re.search(rf"^(?:class |def )?{name}\b", path.read_text(), re.MULTILINE):
            absent.append(f"{file}: {name}")
    return absent + [name for name in sorted(set(DOTTED.findall(text))) if not resolves(name)]


def leads(page: Path, file: str, part: str) -> bool:
    """Whether a link's file exists, and has the heading that the link names after `#`."""
    target = page.parent / file if file else page
    if not target.exists() or not part:
        return target.exists()
    headings = HEADING.findall(target.read_text(encoding="utf-8"))
    return part in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def resolves(name: str) -> bool:
    """Whether a dotted name is a module of isoflop, or something in one."""
    words = name.split(".")
    for end in range(len(words), 0, -1):
        try:
            value = importlib.import_module(".".join(words[:end]))
        except ModuleNotFoundError:
            continue
        for word in words[end:]:
            if not hasattr(value, word):
                return False
            value = getattr(value, word)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    assert missing(page) == []


def test_a_wrong_name_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`train/gone.py`, `train/spec.py: Gone`, `base/gone/`, [x](gone.md), [y](#gone), isoflop.train.gone"
    )
    assert len(missing(page)) == 6


def test_every_figure_is_shown_on_one_page() -> None:
    shown = [page.parent / file for page in PAGES for file, _ in LINK.findall(page.read_text("utf-8"))]
    figures = sorted(path.resolve() for path in shown if path.suffix == ".png")
    twice = {ROOT / "docs" / "figures" / "isoflop.png"}  # the README's, and the demo's own page's
    assert sorted(set(figures)) == sorted((ROOT / "docs" / "figures").rglob("*.png"))
    assert {path for path in figures if figures.count(path) > 1} <= twice
