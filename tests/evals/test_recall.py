"""Recall of facts: what is stored is found again, class by class, for models whose answers are known."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.evals.recall import Options, measure, refuse
from isoflop.train.data.corpus import prepare
from isoflop.train.data.processes.facts import Process

FACTS, ANSWERS, EXPONENT = 100, 7, 1.5
PROCESS = Process(facts=FACTS, answers=ANSWERS, exponent=EXPONENT)
SOURCE = f"synthetic:facts,facts={FACTS},answers={ANSWERS},exponent={EXPONENT}"
TOKENS = 12_000


def knows(ranks: int, context: int) -> Any:
    """A model that has learnt the answers of the first `ranks` facts and guesses the others'."""

    def scores(windows: np.ndarray) -> Any:
        assert windows.shape[1] == context + 1
        ids = windows.astype(np.int64)
        loss = np.full((len(ids), context), 99.0)
        whole = (context + 1) // 3
        tables = PROCESS.tables()
        name = ids[:, 0 : 3 * whole : 3] * PROCESS.base + ids[:, 1 : 3 * whole : 3] - PROCESS.base
        number = np.argsort(tables["names"])[name]
        answer = 2 * PROCESS.base + tables["answers"][number]
        np.testing.assert_array_equal(ids[:, 2 : 3 * whole : 3], answer)
        loss[:, 1 : 3 * whole - 1 : 3] = np.where(number < ranks, 0.0, math.log(ANSWERS))
        return loss, loss == 0

    recipe = SimpleNamespace(model=SimpleNamespace(context_length=context))
    corpus = prepare(SOURCE, "bytes")
    return SimpleNamespace(corpus=corpus, recipe=recipe, scores=scores, cell=SimpleNamespace(tokens=TOKENS))


@pytest.mark.parametrize("context", [2, 12, 13, 14])
def test_what_is_known_is_found_by_class(context: int) -> None:
    """Whole windows or ones that cut a fact off: every fact counts once."""
    p = np.arange(1, FACTS + 1.0) ** -EXPONENT
    p /= p.sum()
    rows: Any = measure(knows(20, context), Options())
    whole, *classes = rows
    assert (whole["ranks"], whole["rank_high"], whole["facts"]) == ("all", FACTS, FACTS)
    assert whole["loss"] == pytest.approx(p[20:].sum() * math.log(ANSWERS), rel=1e-6)
    assert whole["accuracy"] == pytest.approx(p[:20].sum(), rel=1e-6)
    assert whole["rank_known"] == 20
    assert [row["rank_known"] for row in classes] == [1, 3, 7, 15, 20, 31, 63]
    assert whole["bits"] == pytest.approx(20 * math.log2(ANSWERS))
    assert [row["ranks"] for row in classes] == ["1", "2-3", "4-7", "8-15", "16-31", "32-63", "64-100"]
    assert [row["accuracy"] for row in classes] == [1, 1, 1, 1, 5 / 16, 0, 0]
    assert [row["facts"] for row in classes] == [1, 2, 4, 8, 16, 32, 37]
    assert sum(row["bits"] for row in classes) == pytest.approx(whole["bits"])
    answers = (context + 1) // 3  # of a window's targets
    for row in classes:
        mean = p[int(row["rank_low"]) - 1 : int(row["rank_high"])].mean()
        assert row["frequency"] == pytest.approx(mean, rel=1e-6)
        assert row["seen"] == pytest.approx(mean * TOKENS / context * answers, rel=1e-6)


def test_too_few_windows_leave_facts_out() -> None:
    whole, *_ = measure(knows(20, 11), Options(windows=5))
    assert whole["facts"] == 20  # four a window


def test_a_context_without_an_answer_is_refused() -> None:
    with pytest.raises(UserError, match="a context of 2 tokens"):
        refuse(knows(20, 1), Options())
