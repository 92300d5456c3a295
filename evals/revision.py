"""Sequential revision and forced tries beside parallel samples, on models trained with wrong tries.

For models of `synthetic:countdown-tries`. A problem is answered, and a wrong answer is written into the
context as a try, after which another is asked for (Snell et al. 2024, section 6, arXiv 2408.03314), beside as
many answers that do not see each other. Or the model is made to try: "try" is written where it would have
answered or ended, and "answer" after so many tries of its own (budget forcing, Muennighoff et al. 2025,
section 3, arXiv 2501.19393). Or it goes on as it likes. Everything is sampled at temperature 1.

Shape suffixes: P problems, G groups of chains, T turns, B sequences, L ids of a prompt, S ids of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.sampled import decoding_flops, sample_steps
from isoflop.evals.tasks import task_of
from isoflop.evals.tasks.countdown_tries import CountdownTries
from isoflop.evals.trained_model import TrainedModel
from isoflop.evals.without_repeats import coverage_without_repeats

SEEDS_OF_ONE = 64
"""Seeds that one measurement's own seed stands for: one for each chain of steps that is sampled."""

Ids = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Answers revised one after the other, in parallel, and after forced tries."""

    problems: Count = 128
    """Held-out problems, the same for all models."""
    chains: Count = 32
    """Times that each problem is answered, revised, and tried."""
    revisions: Annotated[int, Field(ge=1, le=15)] = 3
    """Answers after the first, and forced tries, at most."""
    seed: Annotated[int, Field(ge=0, lt=1 << 9)] = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        check_fields(self)


def refuse(model: TrainedModel, options: Options) -> None:
    """Raises `UserError` for a model of data without tries, or of a context too short for the revisions."""
    _task(model, options)


def _task(model: TrainedModel, options: Options) -> CountdownTries:
    task, recipe = task_of(model), model.recipe
    if not isinstance(task, CountdownTries):
        raise UserError(
            f"model {model.cell.cell_id} was trained on {recipe.data.source}, which has no tries: revision "
            "needs a sweep on synthetic:countdown-tries, as cpu-revision is"
        )
    context, of_slot = recipe.model.context_length, task.process.slot_length
    room = (context - task.process.prompt_length) // of_slot - 1
    if options.revisions > room:
        wanted = task.process.prompt_length + (options.revisions + 1) * of_slot
        raise UserError(
            f"--revisions {options.revisions}: the context of {context} tokens of model {model.cell.cell_id} "
            f"holds {room}: ask for {max(room, 1)}, or train with --context-length {wanted} or more"
        )
    return task


@dataclass(frozen=True)
class Judged:
    """Answers to P problems, each given in G groups of T turns."""

    names_PxGxT: NDArray[np.int64]
    """Equal for equal answers."""
    right_PxGxT: NDArray[np.bool_]

    @classmethod
    def of(cls, task: CountdownTries, prompts_PxL: Ids, answers: list[Ids]) -> Judged:
        """Judges answers (B, S) of each turn, those to one problem one after the other."""
        B, P, T = len(answers[0]), len(prompts_PxL), len(answers)
        asked_BxL = np.repeat(prompts_PxL, B // P, axis=0)
        right_BxT = np.stack([task.right(asked_BxL, answer_BxS) for answer_BxS in answers], axis=1)
        _, names = np.unique(np.concatenate(answers), axis=0, return_inverse=True)
        names_BxT = names.reshape(T, B).T
        return cls(names_BxT.reshape(P, -1, T), right_BxT.reshape(P, -1, T))

    def grouped(self, turns: int) -> Judged:
        """The first answers of each group, taken for further turns of as many groups as they fill."""
        P, G, _ = self.names_PxGxT.shape
        shape, taken = (P, G // turns, turns), G // turns * turns
        return Judged(
            self.names_PxGxT[:, :taken, 0].reshape(shape), self.right_PxGxT[:, :taken, 0].reshape(shape)
        )

    def counts(self, turns: int) -> list[Row]:
        """What each problem's groups came to after so many turns."""
        names_PxGxT, right_PxGxT = self.names_PxGxT[..., :turns], self.right_PxGxT[..., :turns]
        last_PxG = right_PxGxT[..., -1]
        missed_PxG = ~right_PxGxT[..., :-1].any(axis=-1)
        again_PxG = (names_PxGxT[..., :-1] == names_PxGxT[..., -1:]).any(axis=-1)
        lost_PxG = (right_PxGxT[..., -2] & ~last_PxG) if turns > 1 else np.zeros_like(last_PxG)
        columns = {
            "c": right_PxGxT.any(axis=-1),
            "last": last_PxG,
            "lost": lost_PxG,
            "missed": missed_PxG,
            "repeated": missed_PxG & again_PxG,
        }
        votes_P = majority(names_PxGxT, right_PxGxT).mean(axis=1)
        return [
            {
                "n": len(last_PxG[p]),
                **{name: int(x[p].sum()) for name, x in columns.items()},
                "majority": float(vote),
            }
            for p, vote in enumerate(votes_P)
        ]


def majority(names_GxT: Ids, right_GxT: Ids) -> NDArray[np.float64]:
    """The chance (..., G) that the most frequent of T answers is right, equal ones being drawn from."""
    votes_GxT = (names_GxT[..., :, None] == names_GxT[..., None, :]).sum(axis=-1)
    # Every answer counts once, however often it was given.
    share_GxT = (votes_GxT == votes_GxT.max(axis=-1, keepdims=True)) / votes_GxT
    return (share_GxT * right_GxT).sum(axis=-1) / share_GxT.sum(axis=-1)


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """Rows of each problem by `method` and `turn`; n groups of chains, of which c have a right answer.
    `explored` is that of the data.

    `parallel`, `revised`: after so many answers; beside c, how many are right in the `last` one, were right
    in the one before and are `lost`, `missed` all before, and `repeated` one of them then; and the share that
    is right by `majority`. `parallel` has the exact chances: `coverage`, that `without_repeats` of legal
    wrong chains, and both of a policy that draws legal steps at random (`uniform_...`). `forced`: one answer
    after turn - 1 tries, the last of which is right in `right_tries`. `free`: how many `answered` in this
    place.
    `generated_tokens` and `test_flops` are of all up to this turn, the prompt's FLOPs included.
    """
    task = _task(model, options)
    prompts_PxL = task.prompts(model, options.problems)
    writer = Writer(model, task, np.repeat(prompts_PxL[:, :-1], options.chains, axis=0), options.seed)
    turns = options.revisions + 1
    answers = writer.revised(turns)
    revised = Judged.of(task, prompts_PxL, answers)
    forced, tries = (
        Judged.of(task, prompts_PxL, chains).right_PxGxT.sum(axis=1)
        for chains in writer.forced(answers[0], turns)
    )
    answered_PxT, solved_PxT = writer.free(prompts_PxL, turns)
    exact = _exact(model, task, prompts_PxL, turns)
    rows: list[Row] = []
    for turn in range(1, turns + 1):
        tokens = turn * task.process.slot_length
        flops = decoding_flops(model, task.process.prompt_length, tokens)
        parallel, in_turn = revised.grouped(turn).counts(turn), revised.counts(turn)
        for p in range(options.problems):
            head: Row = {"explored": task.process.explored, "turn": turn, "problem": p}
            cost: Row = {"generated_tokens": tokens, "test_flops": flops}
            of_tries: Row = {"right_tries": int(tries[p, turn - 2])} if turn > 1 else {}
            of_free: Row = {"answered": int(answered_PxT[p, turn - 1])}
            chances: Row = {name: float(x[turn - 1]) for name, x in exact[p].items()}
            made: dict[str, tuple[Row, Row]] = {
                "parallel": (parallel[p], chances),
                "revised": (in_turn[p], {}),
                "forced": ({"n": options.chains, "c": int(forced[p, turn - 1])}, of_tries),
                "free": ({"n": options.chains, "c": int(solved_PxT[p, turn - 1])}, of_free),
            }
            for method, (counts, more) in made.items():
                rows.append({"method": method, **head, **counts, **cost, **more})
    return rows


@dataclass(frozen=True)
class Writer:
    """Has a model write on after the prompts `bare_BxL`, which end with the target."""

    model: TrainedModel
    task: CountdownTries
    bare_BxL: Ids
    seed: int

    def revised(self, turns: int) -> list[Ids]:
        """Answers (B, S) of each turn, those before it standing in the context as tries."""
        context_BxI, answers = self.bare_BxL, []
        for turn in range(turns):
            answers.append(self._chain(context_BxI, self.task.process.answer_id, turn))
            context_BxI = self._with(context_BxI, self.task.process.try_id, answers[-1])
        return answers

    def forced(self, first_BxS: Ids, turns: int) -> tuple[list[Ids], list[Ids]]:
        """Answers (B, S) after 0, 1, ... tries, of which the first are given, and the tries (B, S)."""
        context_BxI, answers, tries = self.bare_BxL, [first_BxS], []
        for turn in range(1, turns):
            tries.append(self._chain(context_BxI, self.task.process.try_id, turns + 2 * turn))
            context_BxI = self._with(context_BxI, self.task.process.try_id, tries[-1])
            answers.append(self._chain(context_BxI, self.task.process.answer_id, turns + 2 * turn + 1))
        return answers, tries

    def free(self, prompts_PxL: Ids, turns: int) -> tuple[Ids, Ids]:
        """How many traces of each problem answer in each slot (P, T), and how many of these are right."""
        process, P = self.task.process, len(prompts_PxL)
        ids_BxI = self._sampled(self.bare_BxL, turns * process.slot_length, SEEDS_OF_ONE - 1)
        slots_BxTxI = ids_BxI.reshape(len(ids_BxI), turns, process.slot_length)
        kinds_BxT = slots_BxTxI[..., 0]
        # A trace goes on as long as it tries; what is neither a try nor an answer ends it.
        goes_on_BxT = np.cumprod(kinds_BxT == process.try_id, axis=1)
        before_BxT = np.concatenate([np.ones_like(goes_on_BxT[:, :1]), goes_on_BxT[:, :-1]], axis=1)
        answered_BxT = (before_BxT > 0) & (kinds_BxT == process.answer_id)
        asked_BxL = np.repeat(prompts_PxL, len(ids_BxI) // P, axis=0)
        right = [self.task.right(asked_BxL, slots_BxTxI[:, turn, 1:]) for turn in range(turns)]
        solved_BxT = answered_BxT & np.stack(right, axis=1)
        answered_PxT, solved_PxT = (x.reshape(P, -1, turns).sum(axis=1) for x in (answered_BxT, solved_BxT))
        return answered_PxT, solved_PxT

    def _chain(self, context_BxI: Ids, kind: int, number: int) -> Ids:
        """Steps (B, S) after the id that says what they are."""
        asked_BxI = np.concatenate([context_BxI, np.full((len(context_BxI), 1), kind, np.int32)], axis=1)
        return self._sampled(asked_BxI, self.task.process.steps_length, number)

    def _with(self, context_BxI: Ids, kind: int, steps_BxS: Ids) -> Ids:
        return np.concatenate([context_BxI, np.full((len(steps_BxS), 1), kind, np.int32), steps_BxS], axis=1)

    def _sampled(self, context_BxI: Ids, count: int, number: int) -> Ids:
        seed = self.seed * SEEDS_OF_ONE + number
        return sample_steps(self.model, context_BxI, count, temperature=1.0, seed=seed).steps_BxS


def _exact(
    model: TrainedModel, task: CountdownTries, prompts_PxL: Ids, turns: int
) -> list[dict[str, NDArray[Any]]]:
    """Chances (T,) of each problem: of a right answer among so many in parallel, by the model's own chance of
    every legal chain; of one if no wrong chain came twice; and both of a policy that draws legal steps."""
    laws = [task.chains(prompt_L) for prompt_L in prompts_PxL]
    asked = [
        (*prompt_L, *steps) for prompt_L, law in zip(prompts_PxL.tolist(), laws, strict=True) for steps in law
    ]
    losses_BxT = model.losses(np.array(asked, dtype=np.int32))
    chance_B = np.exp(-losses_BxT[:, -task.process.steps_length :].sum(axis=1, dtype=np.float64))
    ends = np.cumsum([len(law) for law in laws])
    found = []
    for prompt_L, law, own_C in zip(prompts_PxL, laws, np.split(chance_B, ends[:-1]), strict=True):
        right_C = np.array([steps[-1] == prompt_L[task.process.prompt_length - 1] for steps in law])
        chances: dict[str, NDArray[Any]] = {}
        for name, chance_C in (("", own_C), ("uniform_", np.array([*law.values()]))):
            right = min(1.0, float(chance_C[right_C].sum()))
            # What is not legal is wrong, and of so many kinds that it hardly comes twice.
            fresh = max(0.0, 1.0 - float(chance_C.sum()))
            without = coverage_without_repeats(chance_C[~right_C], right, turns, fresh=fresh)
            chances[f"{name}coverage"] = 1.0 - (1.0 - right) ** np.arange(1, turns + 1)
            chances[f"{name}without_repeats"] = without
        found.append(chances)
    return found
