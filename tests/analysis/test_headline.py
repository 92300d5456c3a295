"""The headline, the cards and the list of doubts follow from the evidence, the bad news first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from isoflop.analysis.reporting.evidence import doubts, held_out
from isoflop.analysis.reporting.headline import cards, headline
from isoflop.analysis.reporting.rounds import methods_table, rounds_table
from isoflop.analysis.result import Intervals, LawFit, Misfit
from isoflop.analysis.scores import HeldOutRun
from tests.support.fits import conventions, law_fit

CONVENTIONS = conventions((1e11, 1e12))


def made_up_fit(a: float | None = 0.5, b: float = 0.5, span: Any = (0.45, 0.55), **changes: Any) -> LawFit:
    spans = {} if span is None else {"a": span, "b": span}
    intervals = None if span is None else Intervals(0.95, "bootstrap", 100, "runs", {}, spans)
    return law_fit({"E": 1.5}, {"a": a, "b": b}, **{"intervals": intervals, **changes})


def made_up_data(errors: tuple[float, ...] = (), half_width: float | None = 0.02, **changes: Any) -> Any:
    """Data with runs held out that miss by `errors`, each with an interval of that half-width."""
    interval = (None, None) if half_width is None else (2 - half_width, 2 + half_width)
    rows = [HeldOutRun(0, 1e5, 1e7, 6e12, 2.0 + e, 2.0, interval, e) for e in errors]
    values: dict[str, Any] = {
        "fit": made_up_fit(),
        "held": made_up_fit(holdout=SimpleNamespace(rows=rows, optimum=None)) if rows else None,
        "parabolas": None, "envelope": None, "agreements": (), "approaches": (),
        "options": SimpleNamespace(level=0.95), "table": SimpleNamespace(conventions=CONVENTIONS),
        "sweep": SimpleNamespace(summary={}),
    }  # fmt: skip
    return SimpleNamespace(**values | changes)


def apart(agrees: bool) -> tuple[Any, ...]:
    return (SimpleNamespace(approach=2, exponent=0.61, surface_exponent=0.5, agrees=agrees),)


def adaptive(estimate: float, interval: tuple[float, float], target: str = "a") -> Any:
    last = {
        "estimate": estimate, "interval": interval, "half_width": 0.02, "flops": 1e13, "cells": [],
        "misfit": 2e-8, "why": "the FLOPs are spent", "warnings": ["chinchilla misses these runs"],
    }  # fmt: skip
    first = last | {
        "estimate": None,
        "interval": None,
        "half_width": None,
        "misfit": None,
        "cells": ["x", "y"],
    }
    asked = {"target": target, "half_width": 0.02, "level_at_a_look": 0.9875, "law": "chinchilla"}
    return SimpleNamespace(summary={"rounds": [first, last], "adaptive": asked})


def test_good_evidence_stands_after_the_answer() -> None:
    said = headline(made_up_data(errors=(0.01, -0.015, 0.005, 0.001, 0.019, 0.03)))
    assert said == (
        "Compute-optimal size grows as C^0.50 [0.45, 0.55] and data as C^0.50 [0.45, 0.55]; 5 of 6 held-out "
        "runs lie within their 95% intervals (mean error 0.013 nats, worst 0.030)."
    )


def test_bad_evidence_stands_first_and_in_what_to_keep_in_mind() -> None:
    data = made_up_data(errors=(0.083, -0.05, 0.04, 0.001, 0.01, 0.02))
    said = headline(data)
    assert said.startswith(
        "3 of 6 held-out runs lie outside their 95% intervals (mean error 0.034 nats, worst 0.083)"
    )
    assert said.endswith(
        "As fitted, compute-optimal size grows as C^0.50 [0.45, 0.55] and data as C^0.50 [0.45, 0.55]."
    )
    assert doubts(data) == [said.partition(". As fitted")[0]]
    card = next(card for card in cards(data) if "Held-out" in card.label)
    assert card.value == "3 of 6"
    assert "worst 0.083" in card.detail


@pytest.mark.parametrize(("outside", "bad"), [(0, False), (1, False), (2, True), (6, True)])
def test_as_many_outside_as_chance_allows_are_no_doubt(outside: int, bad: bool) -> None:
    """Of six runs one lies outside a 95% interval in a quarter of cases, two in 3%."""
    held = held_out(made_up_data(errors=(0.5,) * outside + (0.0,) * (6 - outside)))
    assert held is not None
    assert held.beyond_chance is bad


def test_a_rejected_law_comes_before_all_else() -> None:
    misfit = Misfit(2e-8, 12.0, (3, 27), 0, "")
    said = headline(made_up_data(fit=made_up_fit(misfit=misfit), agreements=apart(agrees=False)))
    assert said.startswith("Chinchilla misses these runs beyond chance (p = 2e-08); the approaches differ")
    kept = Misfit(0.3, 1.2, (3, 27), 0, "")
    assert doubts(made_up_data(fit=made_up_fit(misfit=kept))) == []


def test_approaches_that_disagree_are_named_with_both_numbers() -> None:
    said = headline(made_up_data(agreements=apart(agrees=False)))
    assert said.startswith(
        "The approaches differ on a by more than the runs' noise: 0.61 by approach 2, 0.50 by"
    )
    assert "As fitted" in said
    assert doubts(made_up_data(agreements=apart(agrees=True))) == []


def test_nothing_held_out_and_no_intervals_are_said() -> None:
    assert headline(made_up_data()).endswith("; no runs were held out to test it.")
    bare = made_up_data(errors=(0.01, 0.02), half_width=None, fit=made_up_fit(span=None))
    assert "C^0.50 and data" in headline(bare)
    assert "have no predictive intervals (mean error 0.015 nats, worst 0.020)" in headline(bare)


def test_an_unidentified_fit_says_so_before_anything_else() -> None:
    fit = made_up_fit(identified={"E": False, "A": False, "alpha": True})
    said = headline(made_up_data(errors=(0.5, 0.5), fit=fit))
    assert said.startswith(
        "These 30 runs do not determine the law: E and A are not identified. 2 of 2 held-out"
    )
    assert "C^" not in said


def test_the_rounds_estimate_stands_beside_the_reports() -> None:
    near, far = adaptive(0.51, (0.49, 0.53)), adaptive(0.585, (0.565, 0.605))
    assert doubts(made_up_data(sweep=near)) == []
    assert "by the rounds 0.51 [0.49, 0.53]" in cards(made_up_data(sweep=near))[0].detail
    assert headline(made_up_data(sweep=far)).startswith(
        "The rounds of the sweep put a at 0.58 [0.56, 0.60], the fitted surface at 0.50 [0.45, 0.55]"
    )


def test_the_rounds_have_a_table_with_target_stop_and_warnings() -> None:
    data = made_up_data(sweep=adaptive(0.585, (0.565, 0.605)))
    data.approaches = (SimpleNamespace(name="approach 3: fitted surface", fit=data.fit),)
    rounds, methods = rounds_table(data), methods_table(data)
    assert [row[0] for row in rounds.rows] == ["1", "2"]
    assert rounds.rows[1][1:4] == ("0.585", "[0.565, 0.605]", "0.020")
    for said in ("Target: a, to a half-width of 0.02", "98.75%", "the FLOPs are spent", "misses these runs"):
        assert said in rounds.caption
    assert [row[1] for row in methods.rows] == ["0.585", "0.500"]
    assert rounds_table(made_up_data()).rows == methods_table(made_up_data()).rows == ()
