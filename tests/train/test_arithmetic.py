"""Chained arithmetic's windows against a calculator of their text, and its floor against an enumeration."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chi2

from isoflop.base.errors import UserError
from isoflop.train.data.corpus import prepare
from isoflop.train.data.frequency_tables import entropy
from isoflop.train.data.processes.arithmetic import CHARACTERS, Process
from isoflop.train.data.sources.synthetic import open_source

OPERATIONS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


def problem(operations: str, start: int, modulus: int, digits: int) -> str:
    """The text of a problem, by Python's own arithmetic."""
    values = [start]
    for operator, operand in zip(operations[::2], operations[1::2], strict=True):
        values.append(OPERATIONS[operator](values[-1], int(operand)) % modulus)
    return f"{operations}=" + "".join(f"{value:0{digits}d}" for value in values)


def every_problem(steps: int, modulus: int, largest: int, digits: int) -> list[str]:
    """All that there are, each as likely."""
    one = [f"{operator}{operand}" for operator in OPERATIONS for operand in range(1, largest + 1)]
    return [
        problem("".join(chain), start, modulus, digits)
        for chain in itertools.product(one, repeat=steps)
        for start in range(modulus)
    ]


@pytest.mark.parametrize(("steps", "modulus", "digits"), [(3, 23, 2), (2, 7, 1)])
def test_windows_are_problems_as_a_calculator_solves_them(steps: int, modulus: int, digits: int) -> None:
    """One problem after the other, the last cut; each as likely; and the answers of a prompt are its own."""
    process = Process(steps=steps, modulus=modulus, largest=3)
    length = process.problem_length
    assert length == 2 * steps + 1 + digits * (steps + 1)
    corpus = prepare(f"synthetic:arithmetic,steps={steps},modulus={modulus},largest=3", "bytes")
    windows = corpus.windows("train", 2 * length + 3, np.arange(3000))
    texts = ["".join(CHARACTERS[i] for i in window) for window in windows.tolist()]
    whole = [text[start : start + length] for text in texts for start in (0, length)]
    for text in whole:
        operations, _, values = text.partition("=")
        assert text == problem(operations, int(values[:digits]), modulus, digits)
    if steps == 2:
        counts = Counter(whole)
        expected = len(whole) / len(every_problem(steps, modulus, 3, digits))
        statistic = sum((counts[text] - expected) ** 2 / expected for text in every_problem(2, 7, 3, 1))
        assert chi2.sf(statistic, 9 * 9 * 7 - 1) > 1e-3
    cut = {text[2 * length :] for text in texts}
    assert {text[::2] for text in cut} <= {a + b for a in OPERATIONS for b in OPERATIONS}
    prompts, answers = np.split(windows[:, :length], [process.prompt_length], axis=1)
    np.testing.assert_array_equal(process.answers(prompts), answers)


def test_tokens_never_change() -> None:
    """Stored results hang on them."""
    corpus = prepare("synthetic:arithmetic,steps=2,largest=3", "bytes")
    window = corpus.windows("heldout", 12, [(5 << 32) + 7])[0]
    assert "".join(CHARACTERS[i] for i in window) == GOLDEN


def test_the_floor_is_the_entropy_of_all_windows() -> None:
    """By the text of every problem: of beginnings of one, at each length, and of one and a half."""
    process = Process(steps=1, modulus=11, largest=2)
    texts = every_problem(1, 11, 2, 2)

    def of_beginnings(length: int) -> float:
        counts = Counter(text[:length] for text in texts)
        return entropy(np.array([*counts.values()]) / len(texts))

    whole = process.problem_length
    for context in range(1, whole + 5):
        begun = of_beginnings(min(context + 1, whole)) + of_beginnings(max(context + 1 - whole, 0))
        floor = (begun - of_beginnings(1)) / context
        assert process.floor({}, context) == pytest.approx(floor, abs=1e-7)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("arithmetic,steps=0", "steps=0 is outside 1 to 64"),
        ("arithmetic,modulus=101", "modulus=101 is outside 2 to 100"),
        ("arithmetic,largest=10", "largest=10 is outside 1 to 9"),
        ("arithmetic,modulus=5", "largest=9 is no operand modulo 5: take largest=4 or less"),
        ("arithmetic,chain=4", "has no parameter 'chain': known are steps, modulus, largest, seed"),
    ],
)
def test_an_arithmetic_that_cannot_be_is_one_line(argument: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        open_source(argument)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


GOLDEN = "*1+1=020203+1"
