"""The page on the quality of text says what its table in docs/results gives."""

from __future__ import annotations

import re
from typing import Any

import pytest

from docs.draw_measured.quality import clean_law, worth
from isoflop.analysis import load_runs
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "quality.md").read_text(encoding="utf-8")


def test_the_worth_of_spoilt_tokens_is_what_the_page_says() -> None:
    runs: Any = worth()
    shown = runs[runs["n_tokens"] > runs["n_tokens"].min()]
    rows = re.findall(r"\| (\w+) \| (\d*\.\d+) \| (\d+) \| (\d*\.\d+) ± (\d*\.\d+) \| (\d*\.\d+) \|", PAGE)
    assert len(rows) == len(runs["data"].unique())
    for kind, share, count, mean, error, good in rows:
        ratio = shown[(shown["kind"] == kind) & (shown["share"] == float(share))]["ratio"]
        assert len(ratio) == int(count)
        assert ratio.mean() == pytest.approx(float(mean), abs=6e-3)
        assert ratio.std(ddof=1) / len(ratio) ** 0.5 == pytest.approx(float(error), abs=6e-3)
        assert float(good) == pytest.approx(1 - float(share))


def test_the_clean_law_is_certified_and_all_runs_have_the_same_windows() -> None:
    certificate = clean_law().certificate
    assert certificate is not None
    assert certificate.status == "certified"
    frame: Any = load_runs("measured:quality").frame
    assert len(frame) == 36
    assert frame["eval_windows"].nunique() == 1
