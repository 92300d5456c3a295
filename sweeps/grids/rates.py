"""The learning-rate rule: a power of the width and of the token horizon."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, Positive, check_fields
from isoflop.base.formatting import brief
from isoflop.models.family import WIDTH_STEP
from isoflop.train.spec import BASE_WIDTH

Width = Annotated[int, Field(ge=WIDTH_STEP, multiple_of=WIDTH_STEP)]


@dataclass(frozen=True)
class Rates:
    """How the peak learning rate is found: coefficient * (width / 64)^-exponent * (tokens / base_tokens)
    ^-token_exponent.

    With `tried`, the three numbers are fitted to runs at every one of `widths` and `horizons`, each trained
    at the rule's rate times every factor in `tried` under `seeds` seeds, on evaluation windows of their own.
    Without, the rule is taken as it stands.
    """

    coefficient: Positive
    """The rule's peak learning rate at width 64 and `base_tokens`, before tuning."""
    exponent: float = 0.0
    """How fast the rule's rate falls with the width; 0 is one rate for all widths."""
    token_exponent: float = 0.0
    """How fast the rule's rate falls with the tokens of a run; 0 is one rate for all horizons."""
    base_tokens: Positive = 1e6
    """Tokens of the run at which `coefficient` holds, and a sweep's `batch_size`."""
    tried: tuple[Positive, ...] = ()
    """Factors of the rule's rate that are tried; none is no tuning."""
    widths: tuple[Width, ...] = ()
    """Widths at which rates are tried: two, far apart."""
    horizons: tuple[Positive, ...] = ()
    """Tokens of the runs that try them: two, far apart; best in the middle of a trunk's span, which is
    `base_tokens` times a power of the sweep's `trunk_span`."""
    seeds: Count = 2
    """Seeds under which each rate is tried."""

    def __post_init__(self) -> None:
        check_fields(self, "rates.")
        if not bool(self.tried) == bool(self.widths) == bool(self.horizons):
            raise UserError("rates.tried, rates.widths and rates.horizons go together: give all, or none")
        for name in ("tried", "widths", "horizons"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise UserError(f"rates.{name} {getattr(self, name)}: must not repeat")

    @property
    def trials(self) -> int:
        """Runs that the tuning takes."""
        return len(self.tried) * len(self.widths) * len(self.horizons) * self.seeds

    def at(self, width: int, tokens: float) -> float:
        """The rule's peak learning rate for a run. Raises `UserError` where it has no usable one."""
        log_width, log_tokens = self.log_ratios(width, tokens)
        try:
            rate = self.coefficient * math.exp(-self.exponent * log_width - self.token_exponent * log_tokens)
        except OverflowError:
            rate = math.inf
        if not 0 < rate < math.inf:
            raise UserError(
                f"rates.exponent {self.exponent:g} and rates.token_exponent {self.token_exponent:g} make the "
                f"learning rate {rate:g} at width {width} and {brief(tokens)} tokens"
            )
        return rate

    def horizon_of(self, tokens: float) -> float:
        """The one of `horizons` that a tuning run of `tokens` stands for, which whole steps can't hit."""
        return min(self.horizons, key=lambda horizon: abs(math.log(horizon / tokens)))

    def log_ratios(self, width: int, tokens: float) -> tuple[float, float]:
        """log(width / 64) and log(tokens / base_tokens), which the exponents multiply."""
        return math.log(width / BASE_WIDTH), math.log(tokens / self.base_tokens)

    def __str__(self) -> str:
        # Zeros are written without a sign.
        width, tokens = 0 - self.exponent, 0 - self.token_exponent
        return (
            f"{self.coefficient:g} * (width/{BASE_WIDTH})^{width:g} * "
            f"(tokens/{brief(self.base_tokens)})^{tokens:g}"
        )
