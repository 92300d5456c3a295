"""Revision and forced tries: exact references against enumeration, counts by hand, a policy that is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.evals import attempts, revision
from isoflop.evals.revision import Judged, Options, majority, measure, refuse
from isoflop.evals.sampled import Sampled
from isoflop.evals.tasks import task_of
from isoflop.evals.trained_model import TrainedModel
from isoflop.evals.without_repeats import coverage_without_repeats
from isoflop.train.data.corpus import prepare
from isoflop.train.data.processes.countdown_tries import Process
from isoflop.train.spec import CellSpec, DataSpec
from tests.support.small import small_model, small_recipe

SOURCE = "synthetic:countdown-tries,numbers=2,largest=2,vocab=9,tries=2"
PROCESS = Process(numbers=2, largest=2, vocab=9, tries=2)
PROBLEMS, CHAINS, CONTEXT, PROMPT, SLOT = 6, 64, 19, 4, 5
OPTIONS = Options(problems=PROBLEMS, chains=CHAINS, revisions=2)


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    """The recipe of one; what it would say is known."""
    corpus = prepare(SOURCE, "bytes")
    config = small_model(vocab_size=PROCESS.vocab_size, context_length=CONTEXT)
    return TrainedModel(CellSpec(small_recipe(corpus, model=config), 10), Path("none"), corpus.folder)


class RandomPolicy:
    """Writes legal chains as the process draws them, whatever stands before them; left alone, it tries or
    answers as a coin says. `contexts`: the prompts that it was given, by seed."""

    def __init__(self) -> None:
        self.contexts: dict[int, Any] = {}

    def sample(self, model: Any, prompts_BxL: Any, count: int, *, temperature: float, seed: int) -> Sampled:
        """In the place of `sample_steps`."""
        self.contexts[seed] = prompts_BxL
        draw, written = np.random.default_rng(seed), []
        for prompt in prompts_BxL.tolist():
            solutions = PROCESS.solutions(tuple(prompt[1:3]))
            ids: list[int] = []
            while len(ids) < count:
                if count > SLOT - 1:
                    ids.append(int(draw.choice([PROCESS.try_id, PROCESS.answer_id])))
                ids += solutions[draw.choice(len(solutions), p=[p for _, p in solutions])][0]
            written.append(ids)
        return Sampled(np.array(written, dtype=np.int32), np.zeros(len(written)))

    def losses(self, model: Any, windows_ExT1: Any) -> Any:
        """In the place of `TrainedModel.losses`: all of a chain's at its last id."""
        losses_ExT = np.zeros((len(windows_ExT1), windows_ExT1.shape[1] - 1), dtype=np.float32)
        for row, window in zip(losses_ExT, windows_ExT1.tolist(), strict=True):
            assert window[PROMPT] == PROCESS.answer_id
            chain, found = tuple(window[PROMPT + 1 :]), PROCESS.solutions(tuple(window[1:3]))
            row[-1] = -np.log(sum(p for steps, p in found if steps == chain))
        return losses_ExT


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> RandomPolicy:
    """What speaks in the model's place."""
    found = RandomPolicy()
    monkeypatch.setattr(revision, "sample_steps", found.sample)
    monkeypatch.setattr(attempts, "sample_steps", found.sample)
    monkeypatch.setattr(TrainedModel, "losses", lambda self, windows: found.losses(self, windows))
    return found


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


def test_a_policy_that_is_known_is_measured_as_it_is(model: TrainedModel, policy: RandomPolicy) -> None:
    rows = measure(model, OPTIONS)
    assert rows == measure(model, OPTIONS)
    assert len(rows) == PROBLEMS * 4 * 3

    def column(method: str, turn: int, name: str) -> Any:
        return np.array([row[name] for row in rows_of(rows, method, turn)])

    chance = task_of(model).uniform_success(task_of(model).prompts(model, PROBLEMS))
    for turn in (1, 2, 3):
        coverage = 1 - (1 - chance) ** turn
        # It is the random policy, by its own chances too; and what it wrote before changes nothing.
        for name in ("coverage", "uniform_coverage"):
            np.testing.assert_allclose(column("parallel", turn, name), coverage, rtol=1e-6)
        memory = column("parallel", turn, "uniform_without_repeats")
        np.testing.assert_allclose(column("parallel", turn, "without_repeats"), memory, rtol=1e-6)
        assert (memory > coverage).all() == (turn > 1)
        for method, expected in (("parallel", coverage), ("revised", coverage), ("forced", chance)):
            n = column(method, turn, "n")
            error = np.sqrt((expected * (1 - expected) * n).sum())
            assert abs((column(method, turn, "c") - expected * n).sum()) < 3.5 * error
        # A coin decides whether it answers here, if it has not before.
        answered = column("free", turn, "answered")
        assert abs(answered.mean() / CHAINS - 0.5**turn) < 3.5 * 0.5 / np.sqrt(PROBLEMS * CHAINS)
        assert abs((column("free", turn, "c") - answered * chance).sum()) < 3.5 * np.sqrt(answered.sum()) / 2
        assert set(column("revised", turn, "generated_tokens")) == {SLOT * turn}
        flops = (PROMPT + SLOT * turn) * model.recipe.ledger.forward_flops
        assert set(column("forced", turn, "test_flops")) == {flops}
    first = [row["c"] for row in rows_of(rows, "forced", 1)]
    assert first == [row["c"] for row in rows_of(rows, "revised", 1)]
    # Attempts are answers at once.
    found = attempts.measure(model, attempts.Options(problems=PROBLEMS, attempts=CHAINS))
    assert [row["c"] for row in found] == first


def test_what_stands_in_the_context(model: TrainedModel, policy: RandomPolicy) -> None:
    """Of the third answer: two answers, written as tries; of a forced one, two tries of its own."""
    measure(model, OPTIONS)
    problems = np.repeat(task_of(model).prompts(model, PROBLEMS)[:, :PROMPT], CHAINS, axis=0)
    turns, count = OPTIONS.revisions + 1, SLOT - 1
    revised, forced = policy.contexts[2], policy.contexts[turns + 2 * 2 + 1]
    tries = [policy.sample(model, problems, count, temperature=1.0, seed=turns + 2 * k)[0] for k in (1, 2)]
    answers = [policy.sample(model, problems, count, temperature=1.0, seed=k)[0] for k in (0, 1)]
    for context, chains in ((revised, answers), (forced, tries)):
        np.testing.assert_array_equal(context[:, :PROMPT], problems)
        for slot, chain in enumerate(chains):
            written = context[:, PROMPT + SLOT * slot : PROMPT + SLOT * (slot + 1)]
            assert set(written[:, 0]) == {PROCESS.try_id}
            np.testing.assert_array_equal(written[:, 1:], chain)
        assert set(context[:, -1]) == {PROCESS.answer_id}
        assert context.shape[1] == PROMPT + 2 * SLOT + 1


def test_models_without_tries_or_room_are_refused_in_one_line(model: TrainedModel) -> None:
    plain = DataSpec("synthetic:countdown,numbers=2,largest=2,vocab=9", "bytes", "0")
    other = replace(model, cell=replace(model.cell, recipe=replace(model.recipe, data=plain)))
    with pytest.raises(UserError, match="has no tries: revision needs a sweep on synthetic:countdown-tries"):
        refuse(other, Options())
    message = "--revisions 3: the context of 19 tokens of model .* holds 2: ask for 2, or train with .* 24 or"
    with pytest.raises(UserError, match=message):
        refuse(model, Options())
    with pytest.raises(UserError, match="revisions 0: must be at least 1"):
        Options(revisions=0)
