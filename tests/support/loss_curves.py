"""Loss curves simulated from a curve law."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isoflop.analysis.curves.data.curve import LossCurve
from isoflop.analysis.curves.laws import find_curve_law
from isoflop.analysis.curves.schedules import parse_schedule

TRUE = {
    "luo": (2.6514, 0.6012, 0.4530, 437.95, 2.1325, 0.5979, 0.6552),
    "tissue": (2.6935, 0.5533, 0.5247, 0.4754),
    "summed_rate": (2.7, 0.55, 0.5),
}
"""Parameters by law: the published ones of 100M, and its curves' optimum."""
PEAK, STEPS, WARMUP = 3e-4, 8000, 400
SCHEDULES = ("constant", "cosine", "linear:final=0.02", "wsd:decay=0.3", "wsd-exponential:final=0.05")


def rates(schedule: str) -> np.ndarray:
    """The rate of each of 8,000 steps, unless the schedule says otherwise."""
    return parse_schedule(schedule, STEPS, PEAK, WARMUP, 0.1).rates()


def simulated(
    law: str,
    schedules: Sequence[str] = SCHEDULES,
    noise: float = 0.0,
    phi: float = 0.0,
    seed: int = 0,
    rows: int = 64,
) -> list[LossCurve]:
    """A curve a schedule with this many rows, and noise of the log loss that is an AR(1) process."""
    rng, found = np.random.default_rng(seed), []
    of = find_curve_law(law)
    for schedule in schedules:
        rates_T = rates(schedule)
        steps = np.linspace(WARMUP, len(rates_T) - 1, rows).astype(int)
        loss_R = of.predict(np.array(TRUE[law]), *of.features(rates_T, steps))
        error_R = np.empty(rows)
        error_R[0] = rng.standard_normal()
        for r in range(1, rows):
            error_R[r] = phi * error_R[r - 1] + np.sqrt(1 - phi**2) * rng.standard_normal()
        found.append(LossCurve(schedule.partition(":")[0], rates_T, steps, loss_R * np.exp(noise * error_R)))
    return found


def write(curve: LossCurve, path: Path, header: str = "step,lr,loss") -> Path:
    """The curve's rows as a file."""
    rows = zip(curve.steps_R, curve.rates_T[curve.steps_R], curve.loss_R, strict=True)
    path.write_text(
        "\n".join([header, *(f"{step},{float(rate)!r},{float(loss)!r}" for step, rate, loss in rows), ""])
    )
    return path
