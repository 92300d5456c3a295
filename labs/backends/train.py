"""Trains for real: the contract's transformer on the lab's own data and machine.

In unit seconds a run is charged what its steps and evaluations took by the clock, and `price` predicts it
from the machine that `isoflop lab init` measured. In unit FLOPs it is charged by the ledger, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from isoflop.base.errors import UserError
from isoflop.labs.backends.backend import Outcome
from isoflop.labs.contract.rules import Violation
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.lab import Lab
from isoflop.labs.pricing import Price
from isoflop.labs.training.limits import untrainable

if TYPE_CHECKING:
    from isoflop.train.data.corpus import Corpus


@dataclass(frozen=True)
class Trainer:
    """The lab's data and machine. JAX is first needed by `train`: the server, which never trains, leaves the
    accelerator to the workers."""

    lab: Lab

    def violations(self, config: TrainingConfig) -> Iterator[Violation]:
        yield from untrainable(config, self.lab.settings)

    def final_violations(self, config: TrainingConfig) -> Iterator[Violation]:
        return self.violations(config)

    def price(self, config: TrainingConfig) -> Price:
        return self.lab.settings.price(config)

    def train(
        self, student: str, config: TrainingConfig, report: Callable[[tuple[float, ...]], None]
    ) -> Outcome:
        from isoflop.labs.training.run import Run

        settings = self.lab.settings
        limit = config.max_runtime_seconds * (1 + settings.grace)
        charged = self.price(config) if settings.budget_unit == "flops" else None
        return Run(config, self.corpus, settings.windows, limit, charged).outcome(report)

    @cached_property
    def corpus(self) -> Corpus:
        """The lab's data. Raises `UserError` where the text is no longer what it was."""
        from isoflop.train.data.corpus import prepare
        from isoflop.train.device import set_up

        set_up()
        data = self.lab.settings.data
        if data is None:
            raise UserError(_NO_DATA)
        corpus = prepare(data.source, data.tokenizer)
        if corpus.spec.digest != data.digest:
            raise UserError(
                f"data {data.source}: is not the text that the lab was made with: put that back, or make a "
                "new lab"
            )
        return corpus


_NO_DATA = "backend train: name its data: isoflop lab init DIR --backend train --data NAME"


def open_backend(lab: Lab) -> Trainer:
    """The trainer of a lab."""
    if lab.settings.data is None:
        raise UserError(_NO_DATA)
    return Trainer(lab)
