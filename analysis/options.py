"""What a fit may be asked for."""

from __future__ import annotations

import dataclasses
import numbers
from dataclasses import dataclass
from typing import Any

from isoflop.analysis.columns.counting import COUNTS, FLOPS
from isoflop.base.errors import UserError

SMALLEST_DELTA = 1e-12
RESAMPLINGS = ("auto", "runs", "budgets", "trunks", "residuals")


@dataclass(frozen=True)
class FitOptions:
    """How to fit; the defaults are those of Hoffmann et al. (2022), approach 3, appendix D.3."""

    approach: int = 3
    """1: envelope, 2: IsoFLOP parabolas, 3: parametric law."""
    law: str = "chinchilla"
    """A law's name, or the path of a file that defines one."""
    loss: str = "huber"
    """`huber` or `mse`."""
    space: str = "log"
    """`log`: residuals of log loss; `raw`: of the loss, nats."""
    delta: float = 1e-3
    """Half-width of the Huber loss's quadratic zone, in units of the residual."""
    curve: str = "parabola"
    """Approach 2's curve through a budget: `parabola` (Hoffmann et al. 2022), `akima` (Porian et al. 2024),
    or `argmin`, the run of least loss."""
    minima_weights: str = "equal"
    """Approach 2's minima in the power laws: `equal`, as in the paper, or `precision`, by one over the
    variance of log N_opt, as Porian et al. (2024) do."""
    drop_worst: int = 0
    """Leave out this many runs of highest loss."""
    count: str | None = None
    """`total`, `non_embedding` or `body`; None: as the table was loaded."""
    flops: str | None = None
    """`exact` or `6nd`; None: as the table was loaded."""
    weights: str = "none"
    """`seeds`: residuals over the noise of replicated seeds at their compute; `none`: all alike."""
    intervals: str = "bootstrap"
    """`bootstrap`: percentiles; `profile`: where the objective rises past a simulated threshold."""
    profile_at: float | None = None
    """Training budget, FLOPs, at which profiles give N_opt and the loss; None: the table's largest."""
    resample: str = "auto"
    """What the bootstrap draws: `runs`, `budgets`, `trunks`, `residuals` (with a trunk effect where trunks
    are shared); `auto` chooses by the table.
    """
    bootstrap: int = 1000
    """Resamples for the intervals; 0: none."""
    level: float = 0.95
    """Coverage the intervals aim at."""
    seed: int = 0
    """Of the resampling; the starts are fixed."""
    starts: int = 512
    """Starting points, a fixed Latin hypercube over the law's box."""
    holdout: float | None = None
    """Fit the runs below this many FLOPs (nominal budget, where the table has it), score those at or
    above.
    """

    def __post_init__(self) -> None:
        """Raises `UserError` for a value of the wrong type, an unknown choice or a number out of range."""
        for field in dataclasses.fields(self):
            value = _typed(field.name, getattr(self, field.name), str(field.type))
            object.__setattr__(self, field.name, value)
        _choose("approach", self.approach, (1, 2, 3))
        _choose("loss", self.loss, ("huber", "mse"))
        _choose("space", self.space, ("log", "raw"))
        _choose("curve", self.curve, ("parabola", "akima", "argmin"))
        _choose("minima_weights", self.minima_weights, ("equal", "precision"))
        _choose("count", self.count, (None, *COUNTS))
        _choose("flops", self.flops, (None, *FLOPS))
        _choose("weights", self.weights, ("none", "seeds"))
        _choose("intervals", self.intervals, ("bootstrap", "profile"))
        _choose("resample", self.resample, RESAMPLINGS)
        _check(
            "delta",
            self.delta,
            SMALLEST_DELTA <= self.delta < float("inf"),
            f"at least {SMALLEST_DELTA:g}, such as 1e-3: losses are not known more finely",
        )
        _check("drop_worst", self.drop_worst, self.drop_worst >= 0, "zero or more")
        _check("bootstrap", self.bootstrap, self.bootstrap == 0 or self.bootstrap >= 20, "0, or at least 20")
        _check("level", self.level, 0 < self.level < 1, "between 0 and 1, such as 0.95")
        _check("starts", self.starts, self.starts >= 2, "at least 2")
        _check("seed", self.seed, self.seed >= 0, "zero or more")
        at = self.profile_at
        _check("profile_at", at, at is None or 0 < at < float("inf"), "a positive number of FLOPs")
        held = self.holdout
        _check("holdout", held, held is None or 0 < held < float("inf"), "a positive number of FLOPs")


def _typed(name: str, value: Any, kind: str) -> Any:
    """The value, a whole number as an int. Raises `UserError` for one of another type than the field's."""
    if value is None and "None" in kind:
        return None
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if kind == "int":
        if not (is_number and value == value // 1):
            raise UserError(f"{name} {value!r}: must be a whole number")
        return int(value)
    if kind.startswith("float") and not is_number:
        raise UserError(f"{name} {value!r}: must be a number")
    if kind.startswith("str") and not isinstance(value, str):
        raise UserError(f"{name} {value!r}: must be a name")
    return value


def _choose(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        names = ", ".join(str(item) for item in known if item is not None)
        raise UserError(f"{name} {value!r} is not known: choose {names}")


def _check(name: str, value: object, right: bool, wanted: str) -> None:
    if not right:
        raise UserError(f"{name} is {value}: it must be {wanted}")
