"""Field types of the wire: numbers as JSON has them, finite, and times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, Strict


class Message(BaseModel):
    """An object on the wire: a field more or less is refused, and so are NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _whole(value: Any) -> Any:
    """512.0 is a whole number in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, Strict(), BeforeValidator(_whole)]
Real = Annotated[float, Strict(), AfterValidator(lambda value: value + 0.0)]  # -0.0 becomes 0.0
Flag = Annotated[bool, Strict()]

MAX_SECONDS = 1e8
"""Three years: the ledger's nanoseconds, and sums of many such, stay whole numbers of 64 bits."""

BudgetSeconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
"""What a lab or an instructor may give."""

PositiveWhole = Annotated[Whole, Field(gt=0)]
NotNegativeWhole = Annotated[Whole, Field(ge=0)]
PositiveReal = Annotated[Real, Field(gt=0)]
NotNegativeReal = Annotated[Real, Field(ge=0)]
BelowOne = Annotated[Real, Field(ge=0, lt=1)]
Fraction = Annotated[Real, Field(ge=0, le=1)]

Moment = Annotated[AwareDatetime, AfterValidator(lambda value: value.astimezone(UTC))]
"""ISO 8601 in UTC; pydantic writes it with a `Z`."""


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
