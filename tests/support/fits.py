"""What a fit that no table made is counted in."""

from __future__ import annotations

from isoflop.analysis.compute import SixN
from isoflop.analysis.conventions import FitConventions


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
