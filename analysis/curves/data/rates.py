"""The learning rate of every step, from the rows in which it was logged."""

from __future__ import annotations

import numpy as np

from isoflop.base.errors import UserError

MOST_STEPS = 50_000_000
"""Steps of a run beyond which its rates would not fit into memory with ease."""


def rates_of(
    steps_M: np.ndarray, rate_M: np.ndarray, last: int, warmup_steps: int | None, name: str
) -> tuple[np.ndarray, str | None]:
    """The rate of steps 0 to `last`, and what was assumed of those before the first row, if anything.

    Between rows a rate is linear in the step; one that is level before and after a change jumps at the row
    that first shows it. Before the first row it rises linearly from zero over `warmup_steps`, or, where
    that is None, up to the first row, unless that lies no further from zero than from the second and the
    rate is level there.
    """
    if last >= MOST_STEPS:
        raise UserError(f"{name}: step {last:,} is beyond {MOST_STEPS:,}: number the rows by optimizer steps")
    step_T = np.arange(last + 1)
    rates_T = np.interp(step_T, steps_M, rate_M)
    change = np.diff(rate_M)
    level = np.concatenate([[True], change == 0, [True]])
    for m in np.flatnonzero((change != 0) & level[:-2] & level[2:]):
        rates_T[steps_M[m] : steps_M[m + 1]] = rate_M[m]
    first = int(steps_M[0])
    if warmup_steps is None:
        rising = len(steps_M) > 1 and change[0] > 0
        near = len(steps_M) > 1 and first <= steps_M[1] - first
        rises = first + 1 if rising or not near else 0
        told = f"no rate before step {first}: taken to rise linearly from 0" if not (rising or near) else None
    else:
        rises, told = warmup_steps, None
        if warmup_steps > first + 1 and first > 0:
            raise UserError(
                f"{name}: its first row with a rate, step {first}, lies within the {warmup_steps} steps of "
                "--warmup-steps: leave that out, the rows show the warm-up"
            )
    before_T = step_T[: min(first, last + 1)]
    rates_T[: len(before_T)] = rate_M[0] * np.minimum(1.0, (before_T + 1) / max(rises, 1))
    return rates_T, told
