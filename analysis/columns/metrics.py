"""The column that is fitted where it is not the loss: bits per byte, a loss on other text, an accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from isoflop.analysis.columns.aliases import NO_LOSS
from isoflop.analysis.columns.loss_units import split_loss_unit
from isoflop.analysis.columns.units import words_of
from isoflop.analysis.tables.cells import as_floats, has_numbers, listed, one_line
from isoflop.base.errors import UserError

LOSS = "loss"
"""The metric that is fitted unless another is asked for."""
OWN_LOSS = "own_loss"
"""The column that keeps a table's loss where another metric is fitted in its place."""
CHOSEN = ("lr", "batch_tokens")
"""What a run is trained with, not what comes of it: it need not fall with compute."""
FALLING = (LOSS, "error")
"""What laws predict that falls as models get better."""
ACCURACIES = {"accuracy", "acc", "accuracies", "correct"}
"""Words that make of a column a share of right answers, which grows: its error is fitted."""
MEASURES = {*ACCURACIES, "loss", "nll", "ce", "xent", "entropy", "perplexity", "ppl", "error", "err"}
"""Words that make of a column a measure of a model."""


@dataclass(frozen=True)
class Metric:
    """What is fitted. `column`: the table's; `target`: what the law predicts."""

    column: str
    target: str = LOSS

    @property
    def is_accuracy(self) -> bool:
        """Whether the column is a share of right answers."""
        return bool(ACCURACIES & set(words_of(self.column)))

    @property
    def is_turned(self) -> bool:
        """Whether 1 less the column is fitted: a share that grows, by a law of what falls."""
        return self.is_accuracy and self.target in FALLING

    @property
    def name(self) -> str:
        """What stands for `loss` in all that is said of the fit."""
        return f"1 - {self.column}" if self.is_turned else self.column

    def unit(self, is_own: bool) -> str | None:
        """The unit, as far as the name says it; `is_own`: the column is one of isoflop's own sweeps."""
        if self.is_accuracy:
            return "share"
        stated = split_loss_unit(self.column).unit
        return stated or ("nats per token" if is_own and "loss" in words_of(self.column) else None)

    def meaning(self, is_own: bool) -> str:
        """What the fitted quantity is, a line."""
        what = "the error 1 - accuracy, of" if self.is_turned else "in place of the loss,"
        unit = self.unit(is_own)
        return f"{self.name}: {what} the column {one_line(self.column, 60)!r}" + (f", {unit}" if unit else "")


def with_metric(
    frame: pd.DataFrame, metric: str, source: str, own: Sequence[str], target: str = LOSS
) -> pd.DataFrame:
    """The table with a metric's values as its `loss`, and its own loss as `OWN_LOSS`; unchanged for the loss
    itself.

    `own`: the table's columns as its source has them. `target`: what the law predicts.

    Raises `UserError` for a column that is not there or has no numbers, and for an accuracy beyond 0 to 1.
    """
    if metric == LOSS:
        return frame
    shown = one_line(metric, 60)
    if metric not in frame.columns or not has_numbers(frame, metric):
        why = "has no such column" if metric not in frame.columns else "has no numbers there"
        known = listed(_candidates(frame, own)) or "none"
        raise UserError(f"--metric {shown}: {source} {why}; columns that could be one: {known}")
    values = as_floats(frame, metric)
    if Metric(metric, target).is_turned:
        bad = np.flatnonzero((values < 0) | (values >= 1))
        if len(bad):
            raise UserError(
                f"--metric {shown}: {values[bad[0]]:g} in {source} is no share of right answers below 1, "
                "whose error 1 - accuracy could be fitted: divide percentages by 100"
            )
        values = 1.0 - values
    kept = {OWN_LOSS: frame[LOSS]} if LOSS in frame.columns else {}
    return frame.assign(**kept, loss=values)


def _candidates(frame: pd.DataFrame, own: Sequence[str]) -> list[str]:
    """The table's own columns of numbers that could be a metric: by their names, else all of them."""
    numeric = [name for name in own if name in frame.columns and has_numbers(frame, name)]
    words = {name: set(words_of(name)) for name in numeric}
    measures = [
        name
        for name in numeric
        if (words[name] & MEASURES or split_loss_unit(name).unit) and not words[name] & (NO_LOSS - {"train"})
    ]
    return measures or numeric
