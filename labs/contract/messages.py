"""What the calls take and answer, but for the training config and the statuses."""

from __future__ import annotations

from isoflop.labs.contract.fields import Message, Moment, PositiveReal, PositiveWhole, Real
from isoflop.labs.contract.statuses import Status
from isoflop.labs.contract.training_config import TrainingConfig

INSUFFICIENT_BUDGET = "insufficient budget"
ALREADY_EXISTS = "experiment already exists for this training config"
NOT_FOUND = "not found"
MISSING_KEY = "missing X-API-Key"
INVALID_KEY = "invalid API key"


class BudgetSummary(Message):
    """A student's seconds; what is queued or running counts as used."""

    used_seconds: Real
    remaining_seconds: Real
    total_budget_seconds: Real


class SubmitResponse(Message):
    """The experiment queued, and the budget with its reservation taken off."""

    experiment_id: PositiveWhole
    budget_summary: BudgetSummary


class ExperimentResponse(Message):
    """One experiment, its config with all defaults filled in."""

    experiment_id: PositiveWhole
    training_config: TrainingConfig
    status: Status


class FinalSubmissionRequest(Message):
    """The run a student would train at the target budget, and the loss it will have, in nats per token."""

    training_config: TrainingConfig
    predicted_final_loss: PositiveReal


class FinalSubmissionResponse(Message):
    """A final submission as it stands."""

    training_config: TrainingConfig
    predicted_final_loss: PositiveReal
    submitted_at: Moment


class InsufficientBudget(Message):
    """Why a submission was refused with 400."""

    message: str = INSUFFICIENT_BUDGET
    budget_summary: BudgetSummary
