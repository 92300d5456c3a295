"""Countdown's exact checker, rewards, repeated attempts and searches, against enumeration and each other."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.evals import attempts, difficulty, search
from isoflop.evals.measurement import Row
from isoflop.evals.rewards import Verdicts, logistic_regression
from isoflop.evals.sampled import sample_steps
from isoflop.evals.search import SEEDS_OF_ONE, Pool
from isoflop.evals.tasks import task_of
from isoflop.evals.tasks.countdown import Countdown
from isoflop.evals.trained_model import TrainedModel
from isoflop.sweeps.kept_models import kept_models
from isoflop.train.data.corpus import prepare
from isoflop.train.data.processes.countdown import Process
from isoflop.train.spec import DataSpec
from tests.support.in_process import Runner
from tests.support.small import small_sweep

PROCESS = Process(numbers=3, largest=4, vocab=20)
TASK = Countdown(PROCESS)
SOURCE = "synthetic:countdown,numbers=2,largest=2,vocab=9"
PROBLEMS = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """One of width 8 that was trained on problems of two numbers, which have a single step."""
    one = {"budgets": (1e8,), "ladder": (8,), "sizes": 1, "centre_width": 8, "context_length": 8}
    config = small_sweep(SOURCE, keep="all", batch_size=16, eval_windows=16, **one)
    folder = tmp_path_factory.mktemp("countdown") / "kept"
    Runner(prepare(SOURCE, "bytes"))(config, folder)
    return kept_models(folder)[0][0]


def test_a_beginning_is_right_if_a_solution_begins_with_it() -> None:
    """Every legal beginning, and each with an id replaced, for all targets that numbers have or lack."""
    draw = np.random.default_rng(0)
    for numbers in ((1, 2, 3), (4, 4, 4), (1, 1, 4)):
        solutions = [steps for steps, _ in PROCESS.solutions(numbers)]
        begun = {steps[:length] for steps in solutions for length in (4, 8)}
        wrong = [list(steps) for steps in sorted(begun)]
        for steps in wrong:
            steps[draw.integers(len(steps))] = int(draw.integers(PROCESS.vocab))
        for target, steps in itertools.product(range(0, 14, 3), [*sorted(begun), *map(tuple, wrong)]):
            leads = any(s[: len(steps)] == steps and s[-1] == target for s in solutions)
            prompt = np.array([[PROCESS.marker, *numbers, target]])
            assert TASK.right(prompt, np.array([steps]))[0] == leads


def test_a_policy_that_draws_at_random_succeeds_as_often_as_the_process_reaches_the_target() -> None:
    assert TASK.uniform_success(np.array([[19, 1, 2, 3, 14]]))[0] == 0
    two = Countdown(Process(numbers=2, largest=2, vocab=9))
    found = two.uniform_success(np.array([[8, 2, 2, 4], [8, 2, 2, 0], [8, 1, 2, 3]]))
    np.testing.assert_allclose(found, [2 / 3, 1 / 3, 1 / 3])


def test_a_share_of_corrupted_verdicts_is_wrong_and_stays_so() -> None:
    draw = np.random.default_rng(0)
    prompts = np.concatenate([np.full((4000, 1), 19), draw.integers(1, 5, (4000, 4))], axis=1)
    steps = draw.integers(0, 20, (4000, 8))
    exact, corrupted = Verdicts(TASK), Verdicts(TASK, 0.2, seed=3)
    wrong = exact(prompts, steps) != corrupted(prompts, steps)
    assert abs(wrong.mean() - 0.2) < 3.5 * (0.2 * 0.8 / 4000) ** 0.5
    backwards = corrupted(prompts[::-1], steps[::-1])[::-1]
    np.testing.assert_array_equal(backwards, corrupted(prompts, steps))
    assert (Verdicts(TASK, 0.2, seed=4)(prompts, steps) != corrupted(prompts, steps)).any()


def test_a_logistic_regression_finds_the_chances_that_made_its_data() -> None:
    draw = np.random.default_rng(0)
    truth = np.array([1.0, -0.5, 0.3])
    features = np.concatenate([draw.standard_normal((20_000, 2)), np.ones((20_000, 1))], axis=1)
    right = draw.random(20_000) < 1 / (1 + np.exp(-features @ truth))
    np.testing.assert_allclose(logistic_regression(features, right), truth, atol=0.07)


def test_votes_are_added_up_within_blocks() -> None:
    steps = np.array([[[1], [1], [2], [3], [2], [2], [2], [1]]])
    pool = Pool(np.zeros((1, 1)), steps, np.zeros((1, 8)))
    assert pool.sums_of_equals(np.ones((1, 8)), 4).tolist() == [[2, 2, 1, 1, 3, 3, 3, 1]]
    weights = np.array([[0.0, 1, 5, 0, 1, 2, 0, 4]])
    assert pool.sums_of_equals(weights, 8).tolist() == [[5, 5, 8, 0, 8, 8, 8, 5]]


def test_attempts_are_those_of_the_checker_and_repeat_bit_for_bit(model: TrainedModel) -> None:
    options = attempts.Options(problems=PROBLEMS, attempts=8)
    rows = attempts.measure(model, options)
    assert rows == attempts.measure(model, options)
    task = task_of(model)
    prompts = np.repeat(task.prompts(model, PROBLEMS), 8, axis=0)
    steps, _ = sample_steps(model, prompts, 4, temperature=1.0, seed=0)
    solved = [
        any(s == tuple(ids) and s[-1] == prompt[-1] for s, _ in task.process.solutions(tuple(prompt[1:-1])))
        for prompt, ids in zip(prompts.tolist(), steps.tolist(), strict=True)
    ]
    assert [row["c"] for row in rows] == np.reshape(solved, (PROBLEMS, 8)).sum(axis=1).tolist()
    assert 0 < sum(solved) < len(solved)
    assert rows[0]["test_flops"] == 8 * model.recipe.ledger.forward_flops
    greedy = attempts.measure(model, attempts.Options(problems=PROBLEMS, attempts=8, temperature=0.0))
    assert {row["c"] for row in greedy} <= {0, 8}


def test_searches_agree_where_they_are_the_same(model: TrainedModel) -> None:
    options = search.Options(problems=PROBLEMS, samples=(1, 4, 16), traces=64)
    rows = search.measure(model, options)
    assert rows == search.measure(model, options)

    def accuracy(method: str, reward: str, samples: int) -> Any:
        return row_of(rows, method, reward, samples)["accuracy"]

    # With one sample nothing is chosen.
    assert len({row["accuracy"] for row in rows if row["samples"] == 1}) == 1
    # Under an exact reward the best of N is right where any is: pass@N.
    one = attempts.Options(problems=PROBLEMS, attempts=16, seed=0)
    counts = [int(row["c"]) for row in attempts.measure(model, one)]
    assert accuracy("best-of", "exact", 16) == np.mean([c > 0 for c in counts])
    assert accuracy("weighted", "exact", 16) == accuracy("best-of", "exact", 16)
    # Of one step a beam is the best of N, of samples of its own.
    task = task_of(model)
    prompts = np.repeat(task.prompts(model, PROBLEMS), 4, axis=0)
    own, _ = sample_steps(model, prompts, 4, temperature=1.0, seed=options.seed * SEEDS_OF_ONE + 2)
    assert accuracy("beam", "exact", 4) == task.right(prompts, own).reshape(-1, 4).any(axis=1).mean()


def test_rows_by_problem_average_to_those_of_all(model: TrainedModel) -> None:
    options = search.Options(problems=PROBLEMS, samples=(1, 4), flipped=0.0, traces=0)
    one_each = search.measure(model, replace(options, by_problem=True))
    for row in search.measure(model, options):
        key = (row["method"], row["reward"], row["samples"])
        own: list[Any] = [r for r in one_each if (r["method"], r["reward"], r["samples"]) == key]
        assert [r["problem"] for r in own] == list(range(PROBLEMS))
        assert np.mean([r["accuracy"] for r in own]) == pytest.approx(row["accuracy"], abs=1e-12)


def test_signals_of_difficulty_stand_beside_the_attempts(model: TrainedModel) -> None:
    options = difficulty.Options(problems=PROBLEMS, attempts=12, first=4, traces=256)
    rows: list[Any] = difficulty.measure(model, options)
    assert rows == difficulty.measure(model, options)
    # One stream of samples: the first, and the rest.
    together: list[Any] = attempts.measure(model, attempts.Options(problems=PROBLEMS, attempts=16))
    assert [row["c"] + row["first_right"] for row in rows] == [row["c"] for row in together]
    solved = np.mean([row["c"] for row in together]) / 16
    assert np.mean([row["probe"] for row in rows]) == pytest.approx(solved, abs=0.15)
    for row in rows:
        assert row["first_log_probability"] < 0 < row["first_reward"] < 1
        # Of four samples: all alike, three, two pairs, two, or none.
        assert row["first_agreement"] in (1, 0.625, 0.5, 0.375, 0.25)
    with pytest.raises(UserError, match="--attempts 1: take two or more"):
        difficulty.Options(attempts=1)


def row_of(rows: list[Row], method: str, reward: str, samples: int) -> Row:
    """The row of a method."""
    [row] = [r for r in rows if (r["method"], r["reward"], r["samples"]) == (method, reward, samples)]
    return row


def test_models_that_were_asked_no_problems_are_refused_in_one_line(model: TrainedModel) -> None:
    recipe = model.recipe
    changed = {
        "was trained on wiki-intro, which poses no problems": {"data": DataSpec("wiki-intro", "bytes", "0")},
        "has a context of 7 tokens, and a problem with its solution has 8": {
            "model": replace(recipe.model, context_length=7)
        },
    }
    for message, change in changed.items():
        other = replace(model, cell=replace(model.cell, recipe=replace(recipe, **change)))
        for measurement in (attempts, difficulty, search):
            with pytest.raises(UserError, match=message):
                measurement.refuse(other, measurement.Options())
    with pytest.raises(UserError, match="samples 8: take powers of four"):
        search.Options(samples=(1, 8))
