"""What a sweep may cost at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoflop.base.errors import UserError
from isoflop.base.fields import Positive, check_fields

if TYPE_CHECKING:
    from isoflop.sweeps.plan import Price


@dataclass(frozen=True)
class Caps:
    """What a sweep may cost at most. Raises `UserError` for a cap that is none."""

    max_flops: Positive | None = None
    """Refuse a plan of more FLOPs than this, by the exact ledger."""
    max_hours: Positive | None = None
    """Refuse a plan that takes longer than this on this machine, by a short calibration."""

    def __post_init__(self) -> None:
        check_fields(self)

    def refuse(self, price: Price) -> None:
        """Raises `UserError` for a price above a cap, before anything is spent."""
        trim = "raise the cap, or trim budgets, sizes, rates.tried or seeds"
        if self.max_flops is not None and price.total_flops > self.max_flops:
            raise UserError(
                f"the plan takes {price.total_flops:.3g} FLOPs and max_flops is {self.max_flops:.3g}: {trim}"
            )
        if self.max_hours is not None and price.seconds is not None:
            hours = price.seconds / 3600
            if hours > self.max_hours:
                takes = f"the plan takes about {hours:.2g} hours here"
                raise UserError(f"{takes} and max_hours is {self.max_hours:.2g}: {trim}")
