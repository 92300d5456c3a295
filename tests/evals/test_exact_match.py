"""Exact match and what it is per token: for a model whose answers are known, and against greedy decoding."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from isoflop.base.errors import UserError
from isoflop.evals import attempts
from isoflop.evals.exact_match import Options, measure, refuse
from isoflop.evals.tasks.arithmetic import Arithmetic
from isoflop.evals.trained_model import TrainedModel
from isoflop.models import build
from isoflop.train.data.corpus import prepare
from isoflop.train.data.processes.arithmetic import TIMES, Process
from isoflop.train.spec import CellSpec, DataSpec
from tests.support.small import small_model, small_recipe

SOURCE = "synthetic:arithmetic,steps=2,modulus=2,largest=1"
PROBLEMS = 128


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    """One of random parameters whose likeliest id is a 0 or a 1 mostly: it guesses right now and then."""
    corpus = prepare(SOURCE, "bytes")
    shape = small_model(8, vocab_size=corpus.vocab_size, context_length=8)
    cell = CellSpec(small_recipe(corpus, model=shape), steps=1)
    made = TrainedModel(cell, Path(), corpus.folder)
    network: Any = build(shape, seed=0)
    head = jax.random.normal(jax.random.key(1), network.head.kernel[...].shape)
    network.head.kernel[...] = head * (np.arange(corpus.vocab_size) < 2)
    made.__dict__["params"] = nnx.state(network, nnx.Param)
    return made


def test_a_model_that_can_add_but_not_multiply() -> None:
    """Of every product it gets the first digit right and the second wrong."""
    source = "synthetic:arithmetic,steps=4,modulus=23,largest=3"

    def scores(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        correct = np.ones((len(windows), windows.shape[1] - 1))
        correct[:, 11::2] = windows[:, 0:8:2] != TIMES
        return np.where(correct == 1, 0.0, 2.0), correct

    shape = SimpleNamespace(context_length=19)
    recipe = SimpleNamespace(model=shape, data=SimpleNamespace(source=source))
    cell = SimpleNamespace(cell_id="0", split="heldout")
    known: Any = SimpleNamespace(corpus=prepare(source, "bytes"), recipe=recipe, cell=cell, scores=scores)
    rows = measure(known, Options(problems=1000))
    problems = Arithmetic(Process(steps=4, largest=3)).problems(known, 1000)
    product = problems[:, 0:8:2] == TIMES
    assert [row["chain"] for row in rows] == [1, 2, 3, 4]
    for k, row in enumerate(rows, 1):
        share = product[:, :k].mean()
        assert row["tokens"] == 2 * k
        assert row["accuracy"] == pytest.approx((~product[:, :k]).all(axis=1).mean())
        assert row["token_accuracy"] == pytest.approx(1 - share / 2)
        assert row["loss"] == pytest.approx(share)
        assert (row["loss_sums"], row["loss_products"]) == (0, 1)
        assert row["chance"] == pytest.approx(23.0**-k)
        p = float(row["accuracy"])
        assert row["accuracy_stderr"] == pytest.approx(math.sqrt(p * (1 - p) / 999))
    # Here errors are independent of each other from value to value: the third power of one in three.
    assert rows[2]["accuracy"] == pytest.approx((2 / 3) ** 3, abs=0.05)


def test_exact_match_is_that_of_greedy_decoding_and_repeats_bit_for_bit(model: TrainedModel) -> None:
    options = Options(problems=PROBLEMS)
    rows = measure(model, options)
    assert rows == measure(model, options)
    greedy = attempts.measure(model, attempts.Options(problems=PROBLEMS, attempts=1, temperature=0.0))
    solved = np.mean([float(row["c"]) for row in greedy])
    assert 0.05 < solved < 0.95
    assert rows[-1]["accuracy"] == pytest.approx(solved)
    assert {row["uniform_success"] for row in greedy} == {rows[-1]["chance"]} == {1 / 4}


def test_of_all_answers_one_is_right() -> None:
    task = Arithmetic(Process(steps=2, modulus=3, largest=2))
    prompt = np.array([[TIMES, 2, TIMES - 2, 1, TIMES + 1, 2]])  # *2+1=2, which is 1 and then 2
    every = np.array([*itertools.product(range(3), repeat=2)])
    right = task.right(np.repeat(prompt, 9, axis=0), every)
    assert every[right].tolist() == [[1, 2]]
    assert right.mean() == pytest.approx(task.uniform_success(prompt)[0])
    begun = task.right(np.repeat(prompt, 3, axis=0), every[::3, :1])
    assert begun.tolist() == [False, True, False]


def test_models_of_other_data_are_refused_in_one_line(model: TrainedModel) -> None:
    refused = {
        "synthetic:countdown,numbers=2,largest=2,vocab=9": "exact-match asks chains of arithmetic",
        "wiki-intro": "was trained on wiki-intro, which poses no problems",
    }
    for source, message in refused.items():
        recipe = replace(model.recipe, data=DataSpec(source, "bytes", "0"))
        with pytest.raises(UserError, match=message):
            refuse(replace(model, cell=replace(model.cell, recipe=recipe)), Options())
