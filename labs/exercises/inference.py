"""Exercises of the notebook "The inference trap"."""

from __future__ import annotations

import numpy as np

from isoflop.analysis import planned_run, predict
from isoflop.labs.exercises.exercise import Exercise, Exercises, Mistake
from isoflop.labs.exercises.simulated import random_numbers

LAW = "chinchilla:besiroglu"


def make(student: str) -> Exercises:
    """A training budget, a demand, and a model that somebody released."""
    rng = random_numbers(student, "inference")
    flops = float(rng.choice((1e21, 2e21, 5e21)))
    optimum = predict(LAW, flops)
    served = float(f"{optimum.d_opt * rng.uniform(3, 12):.2g}")
    share = float(rng.choice((0.3, 0.4, 0.5, 0.6)))
    size = float(rng.choice((1e9, 3e9, 7e9)))
    tokens = float(f"{size * rng.uniform(150, 400):.2g}")
    values = {"flops": flops, "served": served, "share": share}
    values |= {"released_params": size, "released_tokens": tokens}
    return Exercises({}, values, lambda: _solve(flops, served, share, size, tokens))


def _solve(flops: float, served: float, share: float, size: float, tokens: float) -> tuple[Exercise, ...]:
    optimum = predict(LAW, flops)
    smaller = planned_run(LAW, n_params=share * optimum.n_opt, loss=optimum.loss)
    extra = smaller.flops - flops
    pays_from = extra / (2 * (optimum.n_opt - smaller.n))
    cheapest = predict(LAW, flops, inference_tokens=served).lifetime
    overcounted = predict(LAW, flops, inference_tokens=3 * served).lifetime
    assert cheapest is not None  # a demand was given
    assert overcounted is not None
    revealed = planned_run(LAW, n_params=size, tokens=tokens)
    return (
        Exercise(
            extra / flops,
            (
                Mistake(smaller.flops / flops, "That is the ratio of the two: how much more is it?"),
                Mistake(
                    1 / share - 1,
                    "At the same FLOPs its loss is worse: it must be trained on, to the same loss.",
                ),
            ),
        ),
        Exercise(
            pays_from,
            (
                Mistake(pays_from / 3, "A token served costs 2 N FLOPs: there is no backward pass."),
                Mistake(
                    extra / (2 * optimum.n_opt),
                    "The smaller model is not free: what counts is the difference of the two sizes.",
                ),
            ),
        ),
        Exercise(
            cheapest.n,
            (
                Mistake(optimum.n_opt, "That is the cheapest to train. Count its use too."),
                Mistake(overcounted.n, "A token served costs 2 N FLOPs: there is no backward pass."),
            ),
        ),
        Exercise(
            float(np.divide(revealed.revealed_demand, tokens)),
            (
                Mistake(
                    tokens / (20 * size), "That says how far it is from 20 tokens a parameter, and no demand."
                ),
                Mistake(revealed.revealed_demand, "In its own training tokens, please: divide by them."),
            ),
        ),
    )
