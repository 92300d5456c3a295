"""The pages on laws: every law is in the index, and what they show works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import find_law, known_laws, published_fit
from isoflop.analysis.laws.vocabulary import THEIR_TOKENS
from isoflop.analysis.published import published_names
from tests.docs.commands import ROOT

DOCS = ROOT / "docs"
SET = re.compile(r"(?<![\w/-])([a-z_]+(?:-[a-z_]+)*:[a-z][\w-]*)")


def test_every_law_is_in_the_index() -> None:
    named = set(re.findall(r"`(\w+)`", (DOCS / "laws.md").read_text()))
    assert set(known_laws()) - named == set()


@pytest.mark.parametrize("page", sorted(DOCS.glob("laws*.md")), ids=lambda page: page.name)
def test_laws_that_a_page_names_in_its_tables_are_there(page: Path) -> None:
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


def test_the_best_sizes_of_farseer() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "laws-compute.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(block, "laws-compute.md", "exec"), found)
    assert found["best"] == {1e21: [pytest.approx(3.9e9, rel=0.01)], 1e23: []}


def test_the_check_of_the_vocabularys_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On runs of the printed constants, with their tokens, all is explained by those, little otherwise."""
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "not-reproducible.md").read_text(), re.DOTALL)
    V, body, characters = (
        x.ravel() for x in np.meshgrid([4096.0, 32768.0], [3e7, 3e8, 1e9], np.geomspace(1e9, 2e11, 6))
    )
    width = 1.5 * np.cbrt(body)
    ratio = 0.00639222 * np.log(V / 1000) ** 2 - 0.15811069 * np.log(V / 1000) + 1.20470122
    gain = published_fit("vocabulary:tao").predict(
        body + V * width, characters * ratio / THEIR_TOKENS, V, width, np.zeros(len(V))
    )
    columns = {
        "vocab_size": V,
        "embed_dim": width,
        "num_characters": characters,
        "Lossu": gain,
        "FLOPs": 1e18,
    }
    pd.DataFrame({**columns, "Non_vocab_parameters": body}).to_csv(tmp_path / "exp_data.csv", index=False)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(block, "not-reproducible.md", "exec"), found)
    assert found["explained"]["printed, theirs"] == pytest.approx(1)
    assert found["explained"]["here, real"] > 0.98
    assert found["explained"]["printed, real"] < 0.8
