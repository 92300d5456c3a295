"""A fit that no table made, and what it is counted in."""

from __future__ import annotations

from typing import Any

from isoflop.analysis.compute import SixN
from isoflop.analysis.conventions import FitConventions
from isoflop.analysis.result import LawFit


def conventions(flops_range: tuple[float, float]) -> FitConventions:
    """C = 6ND and nats per token, over a range of training FLOPs."""
    return FitConventions(
        count="total",
        count_meaning="all parameters",
        flops="6nd",
        flops_meaning="6 N D",
        loss="nats per token",
        loss_unit="nats per token",
        flops_per_token=SixN(),
        flops_range=flops_range,
        residual_log_sd=0.0,
    )


def law_fit(params: dict[str, float | None], exponents: dict[str, float | None], **changes: Any) -> LawFit:
    """Chinchilla's law fitted to 30 runs, every parameter identified, unless `changes` say otherwise."""
    values: dict[str, Any] = {
        "approach": 3, "law": "chinchilla", "objective": None, "intervals": None, "certificate": None,
        "identified": dict.fromkeys(params, True), "budgets": None, "holdout": None, "n_runs": 30,
        "excluded": (), "conventions": conventions((1e11, 1e12)), "warnings": (),
    }  # fmt: skip
    return LawFit(params=params, exponents=exponents, **values | changes)
