"""Other laws fitted to the same runs: what a prediction owes to the form of its law."""

from __future__ import annotations

from dataclasses import dataclass

from isoflop.base.json_values import FloatOrNaN


@dataclass(frozen=True)
class LawForm:
    """Another law, fitted to the runs of a fit."""

    law: str
    params: tuple[FloatOrNaN, ...]
    """In the law's order; `draws`: bootstrap draws of them."""
    draws: tuple[tuple[FloatOrNaN, ...], ...]
    residual_log_sd: float
    """Standard deviation of the log loss about it, over its degrees of freedom."""


@dataclass(frozen=True)
class LawForms:
    """The laws that share a predictive interval with the fit's own, each with an equal part."""

    rivals: tuple[LawForm, ...]
    left_out: dict[str, str]
    """Laws that take no part, and why."""
