"""Interval submissions, which the contract has not: on a path of their own, beside the final submission."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from isoflop.labs.contract.fields import Message, Moment, PositiveReal, Real
from isoflop.labs.contract.training_config import TrainingConfig


class Interval(Message):
    """Where the final loss will lie, with a probability of `level`; nats per token."""

    low: PositiveReal
    high: PositiveReal
    level: Annotated[Real, Field(gt=0, lt=1)] = 0.9

    def score(self, loss: float) -> float:
        """The interval score: the width, and 2 / (1 - level) times what the loss lies outside of it by.

        The lower the better; least, in expectation, for the true quantiles (Gneiting and Raftery 2007,
        section 6.2).
        """
        outside = max(self.low - loss, loss - self.high, 0.0)
        return self.high - self.low + 2 / (1 - self.level) * outside


class IntervalSubmissionRequest(Message):
    """A final submission with an interval."""

    training_config: TrainingConfig
    predicted_final_loss: PositiveReal
    interval: Interval


class IntervalSubmissionResponse(IntervalSubmissionRequest):
    """An interval submission as it stands."""

    submitted_at: Moment
