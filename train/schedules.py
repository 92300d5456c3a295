"""Learning rates as arrays: the compiled step is given its rates, and so serves every schedule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoflop.train.spec import Schedule


def learning_rates(
    schedule: Schedule, peak: float, start: int, stop: int, total: int | None
) -> NDArray[np.float32]:
    """Rates (stop - start,) of steps `start` to `stop` of a run of `total` steps.

    `total` None is a warmup-stable-decay trunk, which knows no end. Warm-up is linear and reaches the peak
    at its last step. The decays, from x = 0 at their start to x = 1 at the end, reach `final_fraction` after
    the last step, so that every step moves: `wsd` 1 - sqrt(x) (Hagele et al. 2024, equation 1), `cosine`
    (1 + cos(pi x)) / 2 over all steps past the warm-up (Hoffmann et al. 2022, appendix B), `linear` 1 - x.
    """
    step = np.arange(start, stop, dtype=np.float64)
    warmup = np.minimum(1.0, (step + 1) / max(schedule.warmup_steps, 1))
    if total is None:
        if schedule.name != "wsd":
            raise ValueError(f"a {schedule.name} schedule has no trunk: its rates depend on the run's end")
        return (peak * warmup).astype(np.float32)
    begin = schedule.decay_start(total) if schedule.name == "wsd" else schedule.warmup_steps
    x = np.clip((step - begin) / max(total - begin, 1), 0.0, 1.0)
    shape = {"wsd": 1 - np.sqrt(x), "cosine": (1 + np.cos(np.pi * x)) / 2, "linear": 1 - x}[schedule.name]
    decayed = schedule.final_fraction + (1 - schedule.final_fraction) * shape
    return (peak * np.minimum(warmup, decayed)).astype(np.float32)
