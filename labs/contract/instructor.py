"""What the instructor's calls take and answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from isoflop.labs.contract.fields import (
    MAX_SECONDS,
    Flag,
    Message,
    Moment,
    NotNegativeWhole,
    PositiveReal,
    PositiveWhole,
    Real,
)
from isoflop.labs.contract.messages import BudgetSummary

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Amount = Annotated[PositiveReal, Field(le=MAX_SECONDS)]


class StudentOverview(Message):
    """What one student has spent and handed in."""

    student: str
    budget_summary: BudgetSummary
    queued: NotNegativeWhole
    running: NotNegativeWhole
    completed: NotNegativeWhole
    failed: NotNegativeWhole
    has_final: Flag


class RunOverview(Message):
    """One run. `heartbeat_seconds`: since its worker was last heard of; `stuck`: too long, or it waits while
    nothing runs; `paid_seconds`: what may be given back."""

    experiment_id: PositiveWhole
    student: str
    state: str
    queued_at: Moment
    heartbeat_seconds: Real | None
    attempts: NotNegativeWhole
    evaluations: NotNegativeWhole
    reserved_seconds: PositiveReal
    paid_seconds: Real
    stuck: Flag


class ClassOverview(Message):
    """The class as it is now. `ended`: the latest twenty."""

    deadline: Moment | None
    students: tuple[StudentOverview, ...]
    unfinished: tuple[RunOverview, ...]
    ended: tuple[RunOverview, ...]


class RefundRequest(Message):
    """What a run paid, or a part of it, back to its student; the ledger keeps the reason."""

    experiment_id: PositiveWhole
    seconds: Annotated[Amount | None, Field(description="all that it paid if null")] = None
    reason: Reason


class GrantRequest(Message):
    """Seconds added to a student's budget; the ledger keeps the reason."""

    student: str
    seconds: Amount
    reason: Reason


class GivenResponse(Message):
    """What was given back or added, in seconds."""

    seconds: PositiveReal
