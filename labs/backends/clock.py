"""The reference machine's clock: what a run has used after each evaluation, and where it is stopped."""

from __future__ import annotations

import math

from isoflop.labs.backends.backend import TIMEOUT, Outcome
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.pricing import Price


def outcome(
    config: TrainingConfig, price: Price, losses: tuple[float, ...], grace: float, diverged: str | None = None
) -> Outcome:
    """How a run with these losses ends under its reservation, and what it has used by then.

    It is stopped at the first step past the reservation and its grace. `diverged`: what is said of a run
    whose losses end before its evaluations do.
    """
    between = price.n_steps // config.n_evals * price.step_seconds + price.evaluation_seconds
    limit = config.max_runtime_seconds * (1 + grace)
    needed = (len(losses) + 1 if diverged else config.n_evals) * between
    if needed > limit:
        whole = min(int(limit / between), len(losses))
        rest = limit - whole * between
        steps = math.floor(rest / price.step_seconds) + 1
        used = whole * between + min(steps * price.step_seconds, between)
        return Outcome(used, losses[:whole], TIMEOUT)
    return Outcome(needed, losses, diverged)
