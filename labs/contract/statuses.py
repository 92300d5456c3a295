"""Where an experiment stands: four states, told apart by `status_type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from isoflop.labs.contract.fields import Message, Moment, NotNegativeReal, Real


class Queued(Message):
    """Waits for a worker."""

    status_type: Literal["queued"] = "queued"
    queued_at: Moment


class Running(Message):
    """Is being trained. `val_losses`: nats per token, one an evaluation so far."""

    status_type: Literal["running"] = "running"
    queued_at: Moment
    dispatched_at: Moment
    run_id: str
    val_losses: tuple[Real, ...]


class Completed(Message):
    """Reached its last step; the last loss is the result."""

    status_type: Literal["completed"] = "completed"
    queued_at: Moment
    dispatched_at: Moment
    run_id: str
    val_losses: tuple[Real, ...]
    used_runtime_seconds: NotNegativeReal
    completed_at: Moment


class Timeout(Message):
    """The reservation was spent before the last step."""

    reason: Literal["timeout"] = "timeout"
    partial_val_losses: tuple[Real, ...]


class Unexpected(Message):
    """Anything else, a diverged run too."""

    reason: Literal["unexpected"] = "unexpected"
    failure: str


Reason = Annotated[Timeout | Unexpected, Field(discriminator="reason")]


class Failed(Message):
    """Ended without a result."""

    status_type: Literal["failed"] = "failed"
    queued_at: Moment
    dispatched_at: Moment
    run_id: str
    used_runtime_seconds: NotNegativeReal
    failed_at: Moment
    reason: Reason


Status = Annotated[Queued | Running | Completed | Failed, Field(discriminator="status_type")]
