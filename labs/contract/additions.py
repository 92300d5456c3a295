"""Answers of calls that the contract has not."""

from __future__ import annotations

from isoflop.labs.contract.fields import (
    Flag,
    Message,
    Moment,
    NotNegativeWhole,
    PositiveReal,
    PositiveWhole,
    Real,
)
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


class MeasuredRun(Message):
    """A completed run as a point of the IsoFLOP figure."""

    experiment_id: PositiveWhole
    n_params_non_embedding: PositiveWhole
    n_tokens: PositiveWhole
    flops: PositiveReal
    loss: Real
    budget: NotNegativeWhole | None
    """The place of its curve in `budgets`; null for a run on none, or with a better one of its N and D."""


class CurvePoint(Message):
    """A size, parameters without the embedding, and a loss."""

    n_params: PositiveReal
    loss: Real


class IsoflopBudget(Message):
    """One IsoFLOP curve. `curve` is empty where the lab keeps fits to itself; `minimum`: null where the runs
    bracket none."""

    flops: PositiveReal
    curve: tuple[CurvePoint, ...]
    minimum: CurvePoint | None


class IsoflopResponse(Message):
    """The caller's completed runs, and the parabola through each budget's."""

    runs: tuple[MeasuredRun, ...]
    budgets: tuple[IsoflopBudget, ...]


class FitWarnings(Message):
    """What a fitter says of the caller's completed runs. `identified`: whether they determine the exponents
    of the parametric law; null where there are too few for it."""

    n_runs: NotNegativeWhole
    identified: Flag | None
    warnings: tuple[str, ...]


class LeaderboardPlace(Message):
    """One student's rank, shared with who cannot be told apart at the noise between seeds. `value`: nats per
    token that it goes by, the mean over `n_seeds` runs."""

    rank: PositiveWhole
    name: str
    value: Real
    n_seeds: PositiveWhole
    is_you: Flag


class LeaderboardResponse(Message):
    """The ranks, the best first."""

    places: tuple[LeaderboardPlace, ...]
