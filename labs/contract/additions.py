"""Answers of calls that the contract has not."""

from __future__ import annotations

from isoflop.labs.contract.fields import Flag, Message, Moment, PositiveReal, PositiveWhole, Real
from isoflop.labs.contract.messages import BudgetSummary


class Estimate(Message):
    """What a config would cost, asked for free."""

    n_params_total: PositiveWhole
    n_params_non_embedding: PositiveWhole
    flops: PositiveReal
    seconds: PositiveReal
    fits_reservation: Flag
    """Whether it ends before its max_runtime_seconds and their grace do."""
    remaining_seconds: Real


class CancelResponse(Message):
    """A run taken out of the queue, and the budget with its reservation back."""

    experiment_id: PositiveWhole
    budget_summary: BudgetSummary


class ReceiptResponse(Message):
    """A completed run's receipt: see `isoflop.labs.receipts`."""

    experiment_id: PositiveWhole
    receipt: str


class LabRules(Message):
    """What holds for every student."""

    budget_unit: str
    total_budget_seconds: PositiveReal
    target_seconds: PositiveReal
    """What the final submission's run may cost."""
    grace: Real
    flops_per_second: PositiveReal
    context_length: PositiveWhole
    n_val_tokens: PositiveWhole
    vocab_size: PositiveWhole
    deadline: Moment | None
