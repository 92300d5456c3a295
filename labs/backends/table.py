"""Replays a table of real runs: the nearest in parameters and tokens, or a refusal that names it.

Every student has the same runs. Evaluations before the last are those of the table's runs nearest in size and
tokens so far, which ended there: their own schedules had annealed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from isoflop.base.errors import UserError
from isoflop.labs.backends.backend import Outcome
from isoflop.labs.backends.clock import outcome
from isoflop.labs.contract.rules import Violation
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.lab import Lab
from isoflop.labs.pricing import Price, too_large

TOLERANCE = 0.1
"""How far a run's N and D may be from what was asked, as a share."""


@dataclass(frozen=True)
class Table:
    """R runs: parameters without the embedding, tokens, and losses in nats per token."""

    lab: Lab
    N_R: np.ndarray
    D_R: np.ndarray
    loss_R: np.ndarray

    def violations(self, config: TrainingConfig) -> Iterator[Violation]:
        yield from (large := [*self.final_violations(config)])
        if large:
            return
        N, D = self._size(config), config.total_train_tokens
        run = self._nearest(N, D)
        off = max(abs(math.log(N / self.N_R[run])), abs(math.log(D / self.D_R[run])))
        if off > math.log1p(TOLERANCE):
            yield Violation(
                ("total_train_tokens", "architecture_config"),
                f"the lab's table has no run within {TOLERANCE:.0%} of {N:.4g} parameters (without the "
                f"embedding) and {D:.4g} tokens: the nearest has {self.N_R[run]:.4g} and {self.D_R[run]:.4g}",
            )

    def final_violations(self, config: TrainingConfig) -> Iterator[Violation]:
        """It need not be in the table."""
        settings = self.lab.settings
        yield from too_large(config, settings.machine, settings.windows.context_length)

    def price(self, config: TrainingConfig) -> Price:
        return self.lab.settings.price(config)

    def train(
        self, student: str, config: TrainingConfig, report: Callable[[tuple[float, ...]], None]
    ) -> Outcome:
        N, D = self._size(config), config.total_train_tokens
        runs = [self._nearest(N, D * i / config.n_evals) for i in range(1, config.n_evals + 1)]
        losses = tuple(float(self.loss_R[run]) for run in runs)
        return outcome(config, self.price(config), losses, self.lab.settings.grace)

    def _size(self, config: TrainingConfig) -> int:
        return self.price(config).n_params_non_embedding

    def _nearest(self, N: float, D: float) -> int:
        return int(np.argmin(np.log(N / self.N_R) ** 2 + np.log(D / self.D_R) ** 2))


def open_backend(lab: Lab) -> Table:
    """The table that the lab's settings name; a relative path is from the lab's folder."""
    from isoflop.analysis import load_runs

    if lab.settings.table is None:
        raise UserError(
            "backend table: name the run table: isoflop lab init DIR --backend table --table FILE"
        )
    runs = load_runs(lab.folder / lab.settings.table)
    return Table(lab, runs.N_R, runs.D_R, runs.loss_R)
