"""What every backend does, and how a run ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from isoflop.labs.contract.rules import Violation
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.pricing import Price

TIMEOUT = "timeout"


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `used_seconds`: on the lab's clock, which runs in steps and evaluations only;
    `val_losses`: nats per token; `failure`: None for a completed run, `TIMEOUT`, or what went wrong."""

    used_seconds: float
    val_losses: tuple[float, ...]
    failure: str | None = None


class Backend(Protocol):
    """Answers what students submit. One is opened by the server, and one by each worker."""

    def violations(self, config: TrainingConfig) -> Iterator[Violation]:
        """Why this backend does not take a config, beyond the contract's rules."""
        ...

    def final_violations(self, config: TrainingConfig) -> Iterator[Violation]:
        """Why it does not take one as a final submission, which may be larger than what it runs before."""
        ...

    def price(self, config: TrainingConfig) -> Price:
        """What a config costs. Called only for one without violations."""
        ...

    def train(
        self, student: str, config: TrainingConfig, report: Callable[[tuple[float, ...]], None]
    ) -> Outcome:
        """Runs a config, and reports all losses so far as they come. `report` raises where the run is no
        longer wanted."""
        ...
