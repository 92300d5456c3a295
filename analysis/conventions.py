"""What N, C and the loss are in a table and in a fit: every result names what it was counted in."""

from __future__ import annotations

from dataclasses import dataclass, field

from isoflop.analysis.columns.metrics import LOSS, Metric
from isoflop.analysis.compute import PerToken
from isoflop.base.json_values import FloatOrNaN


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """How a table's runs are counted: in its source's own words, or with the names that its columns have."""

    count: str
    """What was asked for: `total`, `non_embedding`, `body` or `active`."""
    count_meaning: str
    count_as_given: bool = False
    """The table has one parameter count, which stands for the one asked for."""
    flops: str
    """What was asked for: `exact` or `6nd`."""
    flops_meaning: str
    derived_column: str | None = None
    """The column that the table lacks and that follows from C = 6ND."""
    metric: str = LOSS
    """The column that is fitted."""
    target: str = LOSS
    """What the law predicts: `loss`, or another quantity that the column holds."""
    loss: str
    """What the fitted quantity is."""
    loss_unit: str | None = None
    """`nats per token` and the like; None where neither the source nor a column's name says so."""
    input_loss: str | None = None
    """The source's column of the loss where another quantity is fitted; `input_loss_unit`: its unit."""
    input_loss_unit: str | None = None
    data: str | None = None
    """What the runs were trained on, where the source says so."""
    columns: dict[str, str] = field(default_factory=dict)
    """Columns that are called otherwise in the source, by the names used here."""

    @property
    def unit(self) -> str:
        """The unit of the losses for an axis or a caption: `nats per token` and the like, or `as given`."""
        return self.loss_unit or "as given"

    @property
    def quantity(self) -> str:
        """What is fitted, in a word: `loss`, or the metric in its place."""
        return self.metric if self.metric == LOSS else Metric(self.metric, self.target).name

    @property
    def axis(self) -> str:
        """The title of an axis of losses: `Loss (nats per token)`, or the metric in its place."""
        return f"{'Loss' if self.metric == LOSS else self.quantity} ({self.unit})"

    @property
    def short_unit(self) -> str:
        """The unit after a difference of losses, with a space before it; empty where it is not known."""
        base = self.unit.partition(" ")[0]
        return f" {base}" if base in ("nats", "bits") else ""


@dataclass(frozen=True, kw_only=True)
class FitConventions(Conventions):
    """What a fit was counted in, what it ranges over, and the noise about it."""

    flops_per_token: PerToken
    flops_range: tuple[float, float]
    """Least and largest training FLOPs of the fitted runs; `n_range`, `d_range`: their N and D."""
    n_range: tuple[float, float] | None = None
    d_range: tuple[float, float] | None = None
    input_loss_range: tuple[float, float] | None = None
    """Of the loss that a law takes as an input, over the fitted runs."""
    residual_log_sd: FloatOrNaN
    """Standard deviation of the log loss about the fit, over its degrees of freedom."""
    seed_sd_nats: float | None = None
    """Standard deviation between seeds, pooled over `seed_groups` repeated cells, in the loss's unit: nats
    unless `loss_unit` says another."""
    seed_groups: int = 0
    predictive_noise: str = "the larger of residual spread and seed spread, with their tails"
    """What a predictive interval has besides the draws of the parameters."""
    exponents: str | None = None
    """How the exponents of approach 3 come about: in closed form, or as slopes of its allocation."""
    weights: str | None = None
    """How runs weigh in approach 3, where not all alike."""
    budgets_in: str | None = None
    """What approach 2's budgets are constant in; `curve` and `minima_weights` are its options."""
    curve: str | None = None
    minima_weights: str | None = None
