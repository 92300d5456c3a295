"""What one method says of a budget's minimum."""

from __future__ import annotations

from dataclasses import dataclass

from isoflop.analysis.uncertainty.intervals import Interval


@dataclass(frozen=True)
class MinimumForecast:
    """The least loss at a budget (nats per token) and the size N_opt that has it (parameters), by one method.

    None where the method says nothing of it; an interval is None where the method has none.
    """

    method: str
    form: str
    loss: float | None
    loss_interval: Interval | None
    n_opt: float | None
    n_interval: Interval | None
