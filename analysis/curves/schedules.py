"""Learning-rate schedules by name, as people ask for one that was not run: `cosine`, `wsd:decay=0.1`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isoflop.base.errors import UserError, perhaps
from isoflop.base.formatting import compact

SHAPES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "constant": lambda x, power: np.ones_like(x),
    "cosine": lambda x, power: 0.5 * (1 + np.cos(np.pi * x)),
    "linear": lambda x, power: 1 - x,
    "wsd": lambda x, power: (1 - x) ** power,
    "wsd-sqrt": lambda x, power: 1 - np.sqrt(x),
    "wsd-exponential": lambda x, power: 1 - x,
}
"""The rate's share of its fall that is left, over x from 0 to 1 of its decay; `wsd-exponential` takes it
of the log of the rate."""
DECAY = 0.2
"""Share of the steps over which the schedules that stay at the peak decay, unless said otherwise."""
FORM = "NAME, or NAME:key=value,... with the keys final, decay, power, steps, peak and warmup"


@dataclass(frozen=True)
class ScheduleSpec:
    """A schedule in numbers. `final`: the last rate over the peak; `decay`: the share of its steps that it
    falls in.
    """

    name: str
    steps: int
    peak: float
    warmup_steps: int
    final: float
    decay: float
    power: float = 1.0
    """Of what is left of a `wsd` decay: (1 - x)^power."""

    @property
    def text(self) -> str:
        """What says it to `parse_schedule`, but for the steps, the peak and the warm-up."""
        keys = {"final": self.final} if self.name != "constant" else {}
        keys |= {"decay": self.decay} if self.name.startswith("wsd") else {}
        keys |= {"power": self.power} if self.name == "wsd" and self.power != 1 else {}
        return ":".join([self.name, *filter(None, [",".join(f"{k}={compact(v)}" for k, v in keys.items())])])

    def rates(self) -> np.ndarray:
        """The rate of each step: linear warm-up, the peak, the decay down to the final rate in the last
        step."""
        step_T = np.arange(self.steps)
        begin = self.steps - round(self.decay * self.steps) if self.name.startswith("wsd") else 0
        begin = max(begin, self.warmup_steps)
        x_T = np.clip((step_T + 1 - begin) / max(self.steps - begin, 1), 0.0, 1.0)
        left_T = SHAPES[self.name](x_T, self.power)
        if self.name == "wsd-exponential":
            share_T = np.exp(np.log(self.final) * (1 - left_T))
        else:
            share_T = self.final + (1 - self.final) * left_T
        warm_T = np.minimum(1.0, (step_T + 1) / max(self.warmup_steps, 1))
        return self.peak * np.where(step_T < begin, warm_T, share_T)


def parse_schedule(text: str, steps: int, peak: float, warmup_steps: int, final: float) -> ScheduleSpec:
    """The schedule that a text names; what it leaves open is as given.

    Raises `UserError` for an unknown name or key, and for a value out of range.
    """
    name, _, rest = text.partition(":")
    if name not in SHAPES:
        raise UserError(
            f"unknown schedule {name!r}{perhaps(name, SHAPES)}: known are {', '.join(SHAPES)}; or name a "
            "table of step, lr"
        )
    given = {
        "steps": float(steps),
        "peak": peak,
        "warmup": float(warmup_steps),
        "final": final,
        "decay": DECAY,
        "power": 1.0,
    }
    for item in filter(None, rest.split(",")):
        key, _, value = (part.strip() for part in item.partition("="))
        if key not in given:
            raise UserError(f"--schedule {text}: write {FORM}")
        try:
            given[key] = float(value)
        except ValueError:
            raise UserError(f"--schedule {text}: {key} must be a number, not {value!r}") from None
    return _checked(text, ScheduleSpec(
        name, int(given["steps"]), given["peak"], int(given["warmup"]), given["final"], given["decay"],
        given["power"],
    ))  # fmt: skip


def _checked(text: str, spec: ScheduleSpec) -> ScheduleSpec:
    least = 1e-6 if spec.name == "wsd-exponential" else 0.0
    wrong = {
        "steps must be at least 2": not 2 <= spec.steps <= 50_000_000,
        "peak must be positive": not spec.peak > 0,
        "warmup must be at least 0 and below the steps": not 0 <= spec.warmup_steps < spec.steps,
        f"final must lie between {least:g} and 1": not least <= spec.final <= 1,
        "decay must lie between 0 and 1": not 0 < spec.decay <= 1,
        "power must lie between 0.1 and 10": not 0.1 <= spec.power <= 10,
    }
    for reason, holds in wrong.items():
        if holds:
            raise UserError(f"--schedule {text}: {reason}")
    return spec


def is_file(text: str) -> bool:
    """Whether a schedule is given as a table of `step` and `lr`."""
    return text.partition(":")[0] not in SHAPES and Path(text).suffix != ""
