"""A lab's rules, as `lab.json` holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from isoflop.base.fields import Count, NotNegative, check_fields
from isoflop.base.json_values import Serializable
from isoflop.labs.contract.fields import BudgetSeconds
from isoflop.labs.contract.rules import Windows
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.pricing import Machine, Price, price

Unit = Literal["seconds", "flops"]

COURSE_BUDGET_SECONDS = 43_200.0
TARGET_OVER_BUDGET = 4
"""The final run's budget over the exploration's: 48 hours to 12 in the course."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The text that the backend `train` trains on, as `isoflop data` names it, and how much there is."""

    source: str
    tokenizer: str
    digest: str
    """Of the tokens: another text under the same names is refused."""
    n_train_tokens: Count
    """Tokens that training may take: none comes twice."""


@dataclass(frozen=True, kw_only=True)
class Settings(Serializable):
    """What holds for every student of a lab."""

    lab_id: Annotated[str, Field(min_length=8)]
    """Told apart by it: a database serves one lab."""
    backend: str
    """What answers: a file of labs/backends by name, or the path of a .py file of one's own."""
    budget_seconds: BudgetSeconds = COURSE_BUDGET_SECONDS
    """What each student has."""
    budget_unit: Unit = "seconds"
    """What a reservation of one second buys: a second of the machine, or its `flops_per_second` FLOPs."""
    target_seconds: BudgetSeconds = TARGET_OVER_BUDGET * COURSE_BUDGET_SECONDS
    """What the final submission's run may cost."""
    grace: Annotated[NotNegative, Field(le=1)] = 0.02
    """A run is stopped at its reservation and this share of it; it never pays more than the reservation."""
    data_vocab_size: Count = 32_000
    """Tokens that the data have: a smaller vocabulary leaves the others unknown."""
    show_fits: bool = True
    """Whether students see curves through their own runs, and may ask what the fitter warns of."""
    leaderboard: Literal["off", "pseudonyms", "names"] = "pseudonyms"
    """Whether students see the ranks after the deadline, and under which names."""
    table: str | None = None
    """The run table that the backend `table` replays."""
    data: TrainingData | None = None
    """What the backend `train` trains on."""
    machine: Machine = field(default_factory=Machine)
    windows: Windows = field(default_factory=Windows)

    def __post_init__(self) -> None:
        check_fields(self)

    def price(self, config: TrainingConfig) -> Price:
        """What a config costs under these rules."""
        return price(config, self.machine, self.windows, self.budget_unit)
