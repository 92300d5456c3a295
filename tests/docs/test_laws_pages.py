"""The pages on laws: every law is in the index, and what they show works."""

from __future__ import annotations

import re
from typing import Any

import pytest

from isoflop.analysis import find_law, known_laws
from isoflop.analysis.published import published_names
from tests.docs.commands import ROOT

DOCS = ROOT / "docs"
SET = re.compile(r"(?<![\w/-])([a-z_]+(?:-[a-z_]+)*:[a-z][\w-]*)")


def test_every_law_is_in_the_index() -> None:
    named = set(re.findall(r"`(\w+)`", (DOCS / "laws.md").read_text()))
    assert set(known_laws()) - named == set()


@pytest.mark.parametrize("page", sorted(DOCS.glob("laws*.md")), ids=lambda page: page.name)
def test_laws_that_a_page_names_in_its_tables_are_there(page) -> None:
    rows = [line.split("|")[1] for line in page.read_text().splitlines() if line.startswith("| `")]
    for name in re.findall(r"`(\w+)`", " ".join(rows)):
        assert find_law(name).name == name


def test_sets_of_constants_that_pages_name_are_there() -> None:
    pages = [*DOCS.glob("laws*.md"), DOCS / "not-reproducible.md"]
    laws = set(known_laws())
    named = {name for page in pages for name in SET.findall(page.read_text())}
    assert {name for name in named if name.partition(":")[0] in laws} - set(published_names()) == set()


def test_the_best_mixture_of_the_page() -> None:
    """Losses of prose and code: the shares of both are positive, and books have none."""
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "laws-data.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(block.replace("metric=", "bootstrap=0, metric="), "laws-data.md", "exec"), found)
    assert found["shares"]["books"] == pytest.approx(0, abs=1e-6)
    assert 0.3 < found["shares"]["web"] < 0.7
