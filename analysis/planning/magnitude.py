"""Quantities given in another unit than asked for, caught by their magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from isoflop.analysis.laws.kaplan_compute import PF_DAY
from isoflop.analysis.result import LawFit
from isoflop.base.errors import UserError

Given = Literal["flops", "loss", "n_params", "tokens"]
FAR = 1e4
"""A quantity this many times below all that the fit has seen is looked at twice."""
LARGEST_LOSS = 15.0
"""Nats per token: more than a uniform guess over a vocabulary of three million."""


@dataclass(frozen=True)
class _Unit:
    name: str
    factor: float


BILLIONS, MILLIONS = _Unit("billions", 1e9), _Unit("millions", 1e6)
PF_DAYS, EXA, ZETTA = _Unit("PF-days", PF_DAY), _Unit("exaFLOPs", 1e18), _Unit("zettaFLOPs", 1e21)


def check_magnitudes(fit: LawFit, given: Mapping[Given, float]) -> None:
    """Raises `UserError` for a quantity that is far below the fit's runs, and among them in a usual unit."""
    stated = fit.conventions
    checks: tuple[tuple[Given, str, tuple[float, float] | None, tuple[_Unit, ...]], ...] = (
        ("flops", "FLOPs", stated.flops_range, (PF_DAYS, EXA, ZETTA)),
        ("n_params", "parameters", stated.n_range, (BILLIONS, MILLIONS)),
        ("tokens", "tokens", stated.d_range, (BILLIONS, _Unit("trillions", 1e12))),
    )
    for name, noun, seen, units in checks:
        if name in given and seen is not None:
            _check(f"--{name.replace('_', '-')}", noun, given[name], seen, units)
    if stated.loss_unit == "nats per token" and given.get("loss", 0.0) > LARGEST_LOSS:
        loss = given["loss"]
        raise UserError(
            f"--loss {loss:g}: no loss in nats per token is so large; if it is a perplexity, give its "
            f"logarithm, {np.log(loss):.4g}"
        )


def check_tokens(fit: LawFit, option: str, value: float) -> None:
    """The same for tokens under another option: tokens served, distinct tokens."""
    if not (np.isfinite(value) and value >= 0):
        raise UserError(f"{option} {value}: give zero or more tokens, such as 1e12")
    if value > 0 and (seen := fit.conventions.d_range) is not None:
        _check(option, "tokens", value, seen, (BILLIONS, _Unit("trillions", 1e12)))


def _check(option: str, noun: str, value: float, seen: tuple[float, float], units: tuple[_Unit, ...]) -> None:
    low, high = seen
    if value * FAR >= low:
        return
    for unit in units:
        if low / FAR <= value * unit.factor <= high * FAR:
            raise UserError(
                f"{option} {value:g}: give {noun}, not {unit.name}; {value:g} {unit.name} are "
                f"{value * unit.factor:.4g}"
            )
