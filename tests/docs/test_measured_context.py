"""docs/laws-measured/context.md says what its tables do."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from isoflop.analysis import load_runs
from isoflop.models import family, ledger
from tests.docs.commands import ROOT

TEXT = (ROOT / "docs" / "laws-measured" / "context.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (\.\d+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)


def test_the_table_is_that_of_the_positions() -> None:
    frame = load_runs("measured:context").frame[["cell_id", "context_length", "budget"]]
    found: Any = pd.read_csv(ROOT / "docs/results/context/positions.csv").merge(frame, on="cell_id")
    rows = ROW.findall(TEXT)
    assert [row[0] for row in rows] == ["16", "32", "64", "128", "256"]
    for context, share, tokens, at_3e10, at_6e10, early in rows:
        here = found[found["context_length"] == int(context)]
        large = here[here["budget"] == 6e10]
        assert here[here["budget"] == 3e10]["loss"].mean() == pytest.approx(float(at_3e10), abs=6e-4)
        assert large["loss"].mean() == pytest.approx(float(at_6e10), abs=6e-4)
        assert large[large["position"].between(9, 16)]["loss"].mean() == pytest.approx(float(early), abs=6e-4)
        assert set(large["n_tokens"]) == {int(tokens.replace(",", ""))}
        counted = ledger(family(16, vocab_size=256, context_length=int(context)))
        assert counted.forward["attention"] / counted.forward_flops == pytest.approx(float(share), abs=0.006)
