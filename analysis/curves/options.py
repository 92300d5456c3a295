"""What a fit to loss curves may be asked for; the command line takes its options from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from isoflop.analysis.options import FEWEST_RESAMPLES
from isoflop.base.fields import InvalidFieldError, check_fields


@dataclass(frozen=True, kw_only=True)
class CurveOptions:
    """How to fit a law to loss curves; the objective's defaults are those of Luo et al. (2025)."""

    law: str = "luo"
    """The curve law: luo, tissue, or the path of a .py file of your own."""
    loss: Literal["huber", "mse"] = "huber"
    """What is summed over the rows, of the residuals of the log loss."""
    delta: Annotated[float, Field(ge=1e-12)] = 1e-3
    """The Huber loss's threshold, in units of the residual."""
    from_step: Annotated[int, Field(ge=0)] | None = None
    """Leave out rows before this step; None: those of the warm-up."""
    points: Annotated[int, Field(ge=20)] = 80
    """Longer curves are averaged into about so many bins."""
    keep_repeats: bool = False
    """Count rows that several curves share, as runs off one trunk do, once for each curve."""
    starts: Annotated[int, Field(ge=2)] = 32
    """Starting points, a fixed Latin hypercube over the law's box."""
    bootstrap: Annotated[int, Field(ge=0)] = 200
    """Resamples for the intervals; 0: none."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage the intervals aim at."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The seed of the resampling; the starts are fixed."""
    holdout: tuple[str, ...] = ()
    """Curves to predict and not to fit, by name or pattern."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take."""
        check_fields(self)
        if 0 < self.bootstrap < FEWEST_RESAMPLES:
            raise InvalidFieldError(
                "bootstrap", f"{self.bootstrap}: must be 0, or at least {FEWEST_RESAMPLES}"
            )
