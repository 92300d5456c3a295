"""Loss by position in the window: how much of the context a model uses.

Row `position` p: the mean cross-entropy of the p-th target of a window, which has p tokens before it, and its
standard error over windows. A model that uses its context loses less at later positions; Kaplan et al. (2020,
appendix D.5) find a power law in p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from isoflop.base.fields import Count, check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.trained_model import TrainedModel


@dataclass(frozen=True, kw_only=True)
class Options:
    """Loss by position in the window."""

    windows: Count = 1024
    """Held-out windows, the same for all models of a context."""
    tokens: Annotated[int, Field(ge=0)] = 0
    """Held-out tokens, in the place of `windows`: models of unlike contexts are measured on as many, each in
    windows of its own; 0 is `windows` windows."""

    def __post_init__(self) -> None:
        check_fields(self)


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """One row a position."""
    windows = options.windows
    if options.tokens:
        windows = max(1, options.tokens // model.recipe.model.context_length)
    losses_ExT = model.losses(model.windows(windows)).astype(np.float64)
    spread_T = losses_ExT.std(axis=0, ddof=1) if windows > 1 else np.zeros(losses_ExT.shape[1])
    return [
        {"position": position, "loss": float(loss), "loss_stderr": float(spread / math.sqrt(windows))}
        for position, (loss, spread) in enumerate(zip(losses_ExT.mean(axis=0), spread_T, strict=True), 1)
    ]
