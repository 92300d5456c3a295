"""Wrong arguments of every command: one plain line that names the option."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.commands import compare, fit, next_runs, predict, sweep, sync
from isoflop.sweeps.grids.config import SweepConfig, load_config

PARSER_WORDS = re.compile(r"instantiat|matching|literal|typing|convert|FLOAT|\bINT\b|[{}<>]|Expected|parsing")
CASES: list[tuple[type[Any], list[str], str]] = [
    (sweep.Where, ["--max-flops", "abc"], "--max-flops abc: must be a number"),
    (sweep.Where, ["--members", "x"], "--members x: must be a whole number"),
    (sweep.Where, ["--devices", "1.5"], "--devices 1.5: must be a whole number"),
    (sweep.Where, ["--platform", "q"], "--platform q: choose auto, cpu, gpu or tpu"),
    (sweep.Where, ["--out"], "--out: its value is missing"),
    (sweep.Where, ["--adaptive", "x"], "unexpected 'x'"),
    (SweepConfig, ["--budgets", "1e11", "x"], "--budgets 1e11 x: must be a number (several may be given)"),
    (SweepConfig, ["--clip", "abc"], "--clip abc: must be a number"),
    (SweepConfig, ["--clip", "-1"], "--clip -1.0: must be at least 0"),
    (SweepConfig, ["--budgets"], "sweep cpu-demo: budgets is empty: name at least one, in FLOPs"),
    (SweepConfig, ["--rates.anchors", "1", "b"],
     "--rates.anchors 1 b: must be a whole number and a number (several may be given)"),
    (SweepConfig, ["--archtecture", "x"], "unknown option --archtecture (perhaps --architecture)"),
    (fit.Fit, ["a.csv", "--approach", "4"], "--approach 4: choose 1, 2 or 3"),
    (fit.Fit, ["a.csv", "--holdout", "x"], "--holdout x: must be a number"),
    (fit.Fit, ["a.csv", "--levl", ".9"], "unknown option --levl (perhaps --level)"),
    (predict.Predict, ["fit.json"], "missing: --flops"),
    (predict.Predict, [], "missing: a fit.json, --flops"),
    (compare.Compare, ["a"], "missing: another"),
]  # fmt: skip


def refused(kind: type[Any], words: list[str]) -> str:
    """The line that answers these arguments."""
    default = load_config("cpu-demo") if kind is SweepConfig else None
    with pytest.raises(UserError) as caught:
        parse(kind, words, "command", default=default)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "words", "line"), CASES, ids=lambda case: str(case)[:40])
def test_a_wrong_argument_is_refused_in_plain_words(kind: type[Any], words: list[str], line: str) -> None:
    assert refused(kind, words).removesuffix("; see isoflop command --help") == line


NUMBERS = [
    (kind, field.name)
    for kind in (SweepConfig, fit.Fit, next_runs.NextRuns, predict.Predict, sweep.Where, sync.Sync)
    for field in dataclasses.fields(kind)
    if re.search(r"\b(float|int|Positive|Share|Count|Width|Flops)\b", str(field.type))
    and not str(field.type).startswith("tuple")
]


@pytest.mark.parametrize(("kind", "name"), NUMBERS, ids=lambda case: getattr(case, "__name__", case))
def test_no_word_of_the_parser_reaches_a_user(kind: type[Any], name: str) -> None:
    option = f"--{name.replace('_', '-')}"
    required = ["fit.json", "--flops", "1"] if kind is predict.Predict else []
    line = refused(kind, [*required, option, "seven"])
    assert line.startswith(f"{option} seven: ")
    assert not PARSER_WORDS.search(line)


def test_there_are_numbers_to_try() -> None:
    assert len(NUMBERS) > 20
