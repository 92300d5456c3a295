"""Search on chains of arithmetic, which have one solution: beams against an exact Markov chain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from isoflop.evals import search
from isoflop.evals.rewards import Verdicts
from isoflop.evals.sampled import Sampled
from isoflop.evals.search import BRANCH, Options
from isoflop.evals.tasks.arithmetic import Arithmetic
from isoflop.train.data.processes.arithmetic import EQUALS, Process

STEPS, MODULUS, LARGEST, PROBLEMS = 8, 3, 2, 200
TASK = Arithmetic(Process(steps=STEPS, modulus=MODULUS, largest=LARGEST))
MODEL: Any = SimpleNamespace()


def solved_by_a_beam(count: int) -> float:
    """The chance that a beam under exact verdicts ends right, each value being right with 1/MODULUS.

    The state is how many of the candidates that are kept are right: they are copies of one beginning, and go
    before wrong ones. Each is gone on from as often.
    """
    kept = count // BRANCH
    state_K = np.zeros(kept + 1)
    state_K[kept] = 1.0  # nothing is wrong before the first step
    for _ in range(STEPS - 1):
        after_K = np.zeros(kept + 1)
        for right, chance in enumerate(state_K):
            found_J = chance * binom.pmf(np.arange(count + 1), BRANCH * right, 1 / MODULUS)
            after_K += np.bincount(np.minimum(np.arange(count + 1), kept), found_J)
        state_K = after_K
    return float(state_K @ (1 - (1 - 1 / MODULUS) ** (BRANCH * np.arange(kept + 1))))


@pytest.mark.parametrize("count", [4, 16, 64])
def test_a_beam_solves_a_chain_as_often_as_its_markov_chain(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uniform_values(model: Any, prompts_BxL: Any, length: int, **named: Any) -> Sampled:
        draw = np.random.default_rng(named["seed"])
        return Sampled(
            draw.integers(0, MODULUS, (len(prompts_BxL), length), dtype=np.int32),
            np.zeros(len(prompts_BxL)),
        )

    monkeypatch.setattr(search, "sample_steps", uniform_values)
    draw = np.random.default_rng(0)
    operations = np.stack(
        [draw.integers(10, 13, (PROBLEMS, STEPS)), draw.integers(1, LARGEST + 1, (PROBLEMS, STEPS))]
    )
    prompts = np.concatenate(
        [
            operations.transpose(1, 2, 0).reshape(PROBLEMS, -1),
            np.full((PROBLEMS, 1), EQUALS),
            draw.integers(0, MODULUS, (PROBLEMS, 1)),
        ],
        axis=1,
    )
    found = search._beam(MODEL, TASK, prompts, Verdicts(TASK), count, Options())
    expected = solved_by_a_beam(count)
    assert abs(found.mean() - expected) < 3.5 * (expected * (1 - expected) / PROBLEMS) ** 0.5 + 1e-9
    # As many whole chains hold a right one in a hundredth of the problems.
    assert 1 - (1 - MODULUS**-STEPS) ** count < 0.01
    if count == 64:
        assert expected > 0.98
