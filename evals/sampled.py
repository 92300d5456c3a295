"""Steps sampled from a model for many prompts: whole batches of one size, so that few programs serve all."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isoflop.evals.trained_model import TrainedModel
from isoflop.models.decoding import Sampling, decode

BATCH = 1024
"""Sequences decoded at a time, always: a further batch size would be a further program to compile."""
SEED_STRIDE = 1 << 16
"""Seeds that a measurement's own seed stands for: one a batch."""


class Sampled(NamedTuple):
    """Ids `steps_BxS` after each prompt, and `log_probability_B` of them under the model, nats."""

    steps_BxS: NDArray[np.int32]
    log_probability_B: NDArray[np.float64]


def sample_steps(
    model: TrainedModel, prompts_BxL: NDArray[Any], count: int, *, temperature: float, seed: int
) -> Sampled:
    """`count` ids after each of B prompts, bit for bit the same for one seed."""
    found = []
    for number, start in enumerate(range(0, len(prompts_BxL), BATCH)):
        part = prompts_BxL[start : start + BATCH]
        # Filled up with the last prompt, so that the last batch needs no program of its own.
        filled = np.concatenate(
            [part, np.repeat(part[-1:], min(BATCH, len(prompts_BxL)) - len(part), axis=0)]
        )
        sampling = Sampling(temperature=temperature, seed=seed * SEED_STRIDE + number)
        decoded = decode(model.graph, model.params, filled.tolist(), count, sampling)
        found.append([x[: len(part)] for x in decoded])
    return Sampled(
        np.concatenate([steps_BxS for steps_BxS, _ in found]),
        np.concatenate([log_BxS.astype(np.float64).sum(axis=1) for _, log_BxS in found]),
    )


def decoding_flops(model: TrainedModel, prompts: float, generated: float) -> float:
    """FLOPs of so many prompt and generated ids by the ledger, each passed through the model once."""
    return model.recipe.ledger.forward_flops * (prompts + generated)
