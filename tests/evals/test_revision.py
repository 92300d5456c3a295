"""Revision and forced tries: exact references against enumeration, counts by hand, a small model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.evals import attempts
from isoflop.evals.revision import SEEDS_OF_ONE, Judged, Options, majority, measure, refuse
from isoflop.evals.sampled import sample_steps
from isoflop.evals.tasks import task_of
from isoflop.evals.trained_model import TrainedModel
from isoflop.evals.without_repeats import coverage_without_repeats
from isoflop.sweeps.kept_models import kept_models
from isoflop.train.data.corpus import prepare
from isoflop.train.spec import DataSpec
from tests.support.in_process import Runner
from tests.support.small import small_sweep

SOURCE = "synthetic:countdown-tries,numbers=2,largest=2,vocab=9,tries=1"
PROBLEMS, CHAINS, CONTEXT = 6, 32, 14
OPTIONS = Options(problems=PROBLEMS, chains=CHAINS, revisions=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """One of width 8 that was trained on problems of two numbers, which have a single step."""
    one = {"budgets": (2e8,), "ladder": (8,), "sizes": 1, "centre_width": 8, "context_length": CONTEXT}
    config = small_sweep(SOURCE, keep="all", batch_size=16, eval_windows=16, **one)
    folder = tmp_path_factory.mktemp("revision") / "kept"
    Runner(prepare(SOURCE, "bytes"))(config, folder)
    return kept_models(folder)[0][0]


@pytest.fixture(scope="module")
def rows(model: TrainedModel) -> Any:
    """What is measured of it."""
    return measure(model, OPTIONS)


def missed(wrong: tuple[float, ...], right: float, fresh: float, draws: int) -> float:
    """The chance that so many draws are all wrong, by going through all that may be drawn."""
    if draws == 0:
        return 1.0
    total = sum(wrong) + right + fresh
    found = fresh / total * missed(wrong, right, fresh, draws - 1)
    for i, chance in enumerate(wrong):
        found += chance / total * missed((*wrong[:i], *wrong[i + 1 :]), right, fresh, draws - 1)
    return found


@pytest.mark.parametrize(
    ("wrong", "right", "fresh"),
    [
        ((0.5, 0.2, 0.1), 0.2, 0.0),
        ((0.3, 0.3, 0.05), 0.05, 0.3),
        ((0.9, 0.0999), 1e-4, 0.0),
        ((), 0.3, 0.7),
    ],
)
def test_coverage_without_repeats_is_what_enumeration_gives(
    wrong: tuple[float, ...], right: float, fresh: float
) -> None:
    found = coverage_without_repeats(np.array(wrong), right, 5, fresh=fresh)
    expected = [1.0 - missed(wrong, right, fresh, draws) for draws in range(1, 6)]
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_without_a_right_chain_nothing_is_found() -> None:
    assert coverage_without_repeats(np.array([0.5, 0.5]), 0.0, 3).tolist() == [0, 0, 0]


def test_a_vote_is_split_between_equals() -> None:
    names = np.array([[1, 2, 2, 3], [1, 1, 2, 2], [4, 5, 6, 7]])
    right = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]], dtype=bool)
    np.testing.assert_allclose(majority(names, right), [0, 0.5, 0.5])


def test_counts_by_hand() -> None:
    """One problem, two groups of three answers; 7 is right."""
    names = np.array([[[1, 1, 7], [7, 2, 2]]])
    judged = Judged(names, names == 7)
    [second], [third] = judged.counts(2), judged.counts(3)
    assert {x: second[x] for x in ("n", "c", "last", "lost", "missed", "repeated")} == {
        **{"n": 2, "c": 1, "last": 0},
        **{"lost": 1, "missed": 1, "repeated": 1},
    }
    assert (third["c"], third["last"], third["missed"], third["repeated"]) == (2, 1, 1, 0)
    assert third["majority"] == 0
    alone = judged.grouped(2)
    assert alone.names_PxGxT.tolist() == [[[1, 7]]]


def rows_of(rows: Any, method: str, turn: int) -> Any:
    """The rows of a method after so many turns, by problem."""
    return [row for row in rows if (row["method"], row["turn"]) == (method, turn)]


def test_the_rows_are_those_of_the_checker_and_repeat_bit_for_bit(model: TrainedModel, rows: Any) -> None:
    assert rows == measure(model, OPTIONS)
    assert len(rows) == PROBLEMS * 4 * 2

    def total(method: str, turn: int, column: str) -> Any:
        return sum(row[column] for row in rows_of(rows, method, turn))

    # The first answer is the same, whatever follows.
    assert len({total(method, 1, "c") for method in ("parallel", "revised", "forced")}) == 1
    # What is sampled in parallel has the chance that is scored, and the process' tries theirs.
    coverage = np.array([row["coverage"] for row in rows_of(rows, "parallel", 1)])
    error = np.sqrt((coverage * (1 - coverage)).sum() * CHAINS)
    assert 0 < total("parallel", 1, "c") < PROBLEMS * CHAINS
    assert abs(total("parallel", 1, "c") - coverage.sum() * CHAINS) < 3.5 * error
    prompts = task_of(model).prompts(model, PROBLEMS)
    uniform = [row["uniform_coverage"] for row in rows_of(rows, "parallel", 1)]
    np.testing.assert_allclose(uniform, task_of(model).uniform_success(prompts))
    for one in rows_of(rows, "parallel", 2):
        assert one["without_repeats"] > one["coverage"]
        assert one["generated_tokens"] == 5 * 2
        assert one["test_flops"] == (4 + 5 * 2) * model.recipe.ledger.forward_flops
    answered = sum(total("free", turn, "answered") for turn in (1, 2))
    solved = sum(total("free", turn, "c") for turn in (1, 2))
    assert 0 < solved < answered <= PROBLEMS * CHAINS


def test_a_revision_sees_the_answer_before_it_as_a_try(model: TrainedModel, rows: Any) -> None:
    process = task_of(model).process
    asked = np.repeat(task_of(model).prompts(model, PROBLEMS), CHAINS, axis=0)

    def sampled(context: Any, number: int) -> Any:
        return sample_steps(model, context, 4, temperature=1.0, seed=OPTIONS.seed * SEEDS_OF_ONE + number)[0]

    first = sampled(asked, 0)
    tried = np.concatenate([asked, first, asked[:, -1:]], axis=1)
    tried[:, 4] = process.try_id
    second = sampled(tried, 1)
    right = np.stack([task_of(model).right(asked, x) for x in (first, second)])
    found = [row["c"] for row in rows_of(rows, "revised", 2)]
    assert found == right.any(axis=0).reshape(PROBLEMS, -1).sum(axis=1).tolist()
    lost = [row["lost"] for row in rows_of(rows, "revised", 2)]
    assert lost == (right[0] & ~right[1]).reshape(PROBLEMS, -1).sum(axis=1).tolist()


def test_attempts_ask_for_an_answer_at_once(model: TrainedModel, rows: Any) -> None:
    found = attempts.measure(model, attempts.Options(problems=PROBLEMS, attempts=CHAINS))
    assert [row["c"] for row in found] == [row["c"] for row in rows_of(rows, "forced", 1)]


def test_models_without_tries_or_room_are_refused_in_one_line(model: TrainedModel) -> None:
    plain = DataSpec("synthetic:countdown,numbers=2,largest=2,vocab=9", "bytes", "0")
    other = replace(model, cell=replace(model.cell, recipe=replace(model.recipe, data=plain)))
    with pytest.raises(UserError, match="has no tries: revision needs a sweep on synthetic:countdown-tries"):
        refuse(other, Options())
    message = "--revisions 3: the context of 14 tokens of model .* holds 1: ask for 1, or train with .* 24 or"
    with pytest.raises(UserError, match=message):
        refuse(model, Options())
    with pytest.raises(UserError, match="revisions 0: must be at least 1"):
        Options(revisions=0)
