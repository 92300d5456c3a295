"""Wrong arguments of every command: one plain line that names the option."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest
import tyro

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.commands import compare, fit, forecast, next_runs, predict, sync
from isoflop.commands.sweep import SweepArguments
from isoflop.sweeps.grids.config import load_config

PARSER_WORDS = re.compile(r"instantiat|matching|literal|typing|convert|FLOAT|\bINT\b|[{}<>]|Expected|parsing")
CASES: list[tuple[type[Any], list[str], str]] = [
    (SweepArguments, ["--max-flops", "abc"], "--max-flops abc: must be a number"),
    (SweepArguments, ["--members", "x"], "--members x: must be a whole number"),
    (SweepArguments, ["--devices", "1.5"], "--devices 1.5: must be a whole number"),
    (SweepArguments, ["--platform", "q"], "--platform q: choose auto, cpu, gpu or tpu"),
    (SweepArguments, ["--out"], "--out: its value is missing"),
    (SweepArguments, ["--adaptive", "x"], "unexpected 'x'"),
    (SweepArguments, ["--budgets", "1e11", "x"], "--budgets 1e11 x: must be a number (several may be given)"),
    (SweepArguments, ["--clip", "abc"], "--clip abc: must be a number"),
    (SweepArguments, ["--clip", "-1"], "--clip -1.0: must be at least 0"),
    (SweepArguments, ["--weight-decay=-1"], "--weight-decay -1.0: must be at least 0"),
    (SweepArguments, ["--batch_size=x"], "--batch-size x: must be a whole number"),
    (SweepArguments, ["--optimizer", "sgd"], "--optimizer sgd: choose adamw or muon"),
    (SweepArguments, ["--momentum", ".9"], "--momentum 0.9: is Muon's: choose optimizer muon too"),
    (SweepArguments, ["--sizes", "40"], "--sizes 40: the ladder has 7"),
    (SweepArguments, ["--rates.trid", "1"], "unknown option --rates.trid (perhaps --rates.tried)"),
    (SweepArguments, ["--budgets"], "sweep cpu-demo: budgets is empty: name at least one, in FLOPs"),
    (SweepArguments, ["--rates.horizons", "1e6", "b"],
     "--rates.horizons 1e6 b: must be a number (several may be given)"),
    (SweepArguments, ["--rates.widths", "12"], "--rates.widths 12: must be a multiple of 8"),
    (SweepArguments, ["--ladder", "8", "20"], "--ladder 20: must be a multiple of 8"),
    (SweepArguments, ["--seeds", "0"], "--seeds 0: must be at least 1"),
    (SweepArguments, ["--rates.tried"],
     "rates.tried, rates.widths and rates.horizons go together: give all, or none"),
    (SweepArguments, ["--archtecture", "x"], "unknown option --archtecture (perhaps --architecture)"),
    (fit.Fit, ["a.csv", "--approach", "4"], "--approach 4: choose 1, 2 or 3"),
    (fit.Fit, ["a.csv", "--holdout", "x"], "--holdout x: must be a number"),
    (fit.Fit, ["a.csv", "--levl", ".9"], "unknown option --levl (perhaps --level)"),
    (fit.Fit, ["a.csv", "--where", "d=1", "--where=e=2"],
     "--where is given twice: give it once, with all that it is to hold"),
    (predict.Predict, [], "missing: a fit.json or its folder, or constants such as chinchilla:besiroglu"),
    (forecast.Forecast, ["--price", "-1"], "--price -1.0: must be at least 0"),
    (forecast.Forecast, ["--utilization", "40"], "--utilization 40.0: must be at most 1"),
    (forecast.Forecast, ["--n-params", "8"], "--n-params 8: parameters, not billions: 8e9 for those"),
    (forecast.Forecast, ["--weights", "int3"],
     "--weights int3: choose fp32, bf16, fp16, fp8, int8, fp4 or int4"),
    (forecast.Forecast, ["--max-tpot", "30"], "--max-tpot 30: seconds, not milliseconds: 0.03 for those"),
    (forecast.Forecast, ["--devise", "h100"], "unknown option --devise (perhaps --device)"),
    (compare.Compare, [],
     "missing: a table of runs, a sweep's folder, a fit.json, or with --budget published constants by name"),
]  # fmt: skip


def options(kind: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each option of a command with its type."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        marks = getattr(hint, "__metadata__", ())
        named = next((mark.name for mark in marks if getattr(mark, "name", None) is not None), name)
        named = "" if tyro.conf.OmitArgPrefixes in marks else named
        inner = get_args(hint)[0] if marks else hint
        if dataclasses.is_dataclass(inner):
            yield from options(inner, f"{named}." if named else "")
        elif tyro.conf.Positional not in marks:
            yield f"--{prefix}{named}".replace("_", "-"), hint


def leaves(hint: Any) -> Iterator[Any]:
    """The types that a hint is made of."""
    parts = get_args(hint)
    yield from (leaf for part in parts for leaf in leaves(part)) if parts else (hint,)


def refused(kind: type[Any], words: list[str]) -> str:
    """The line that answers these arguments."""
    default = (
        SweepArguments("cpu-demo", load_config("cpu-demo"))
        if kind is SweepArguments
        else tyro.MISSING_NONPROP
    )
    words = ["cpu-demo", *words] if kind is SweepArguments else words
    with pytest.raises(UserError) as caught:
        parse(kind, words, "command", default=default)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "words", "line"), CASES, ids=lambda case: str(case)[:40])
def test_a_wrong_argument_is_refused_in_plain_words(kind: type[Any], words: list[str], line: str) -> None:
    assert refused(kind, words).removesuffix("; see isoflop command --help") == line


NUMBERS = [
    (kind, option)
    for kind in (SweepArguments, fit.Fit, forecast.Forecast, next_runs.NextRuns, predict.Predict, sync.Sync)
    for option, hint in options(kind)
    if {int, float} & set(leaves(hint))
]


@pytest.mark.parametrize(("kind", "option"), NUMBERS, ids=lambda case: getattr(case, "__name__", case))
def test_no_word_of_the_parser_reaches_a_user(kind: type[Any], option: str) -> None:
    required = ["fit.json"] if kind is predict.Predict else []
    line = refused(kind, [*required, option, "seven"])
    assert line.startswith(f"{option} seven: ")
    assert not PARSER_WORDS.search(line)


def test_there_are_numbers_to_try() -> None:
    assert len(NUMBERS) > 50
    for option in ("beta1", "eps", "momentum", "norm-eps", "rope-base", "final-fraction", "rates.tried"):
        assert (SweepArguments, f"--{option}") in NUMBERS
