"""Which configs a lab takes: the contract's rules, then its backend's and its budget's."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.labs.backends.backend import Backend
from isoflop.labs.contract.rules import Violation, violations
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.settings import Settings


def run_violations(config: TrainingConfig, settings: Settings, backend: Backend) -> list[Violation]:
    """Why a config is not run."""
    return (
        [*violations(config, settings.windows)]
        or [*backend.violations(config)]
        or [*_below_its_price(config, settings, backend)]
    )


def final_violations(config: TrainingConfig, settings: Settings, backend: Backend) -> list[Violation]:
    """Why a config can be no final submission: its reservation is ignored."""
    return [*violations(config, settings.windows)] or [*backend.final_violations(config)]


def _below_its_price(config: TrainingConfig, settings: Settings, backend: Backend) -> Iterator[Violation]:
    """In FLOPs the price is exact, so that a reservation below it could only be lost."""
    if settings.budget_unit != "flops":
        return
    price = backend.price(config)
    if config.max_runtime_seconds < price.seconds:
        yield Violation(
            ("max_runtime_seconds",),
            f"max_runtime_seconds is below the price: {price.flops:.6g} FLOPs / "
            f"{settings.machine.flops_per_second:.6g} FLOPs per unit = {price.seconds!r}; given "
            f"{config.max_runtime_seconds!r}",
        )
