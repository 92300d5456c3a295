"""`predict` and `planned_run`, as a notebook calls them: the fit however it comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from isoflop.analysis.inputs import as_fit, stale
from isoflop.analysis.planning import planned_run as planning
from isoflop.analysis.planning import prediction as predicting
from isoflop.analysis.planning.planned_run import PlannedRun
from isoflop.analysis.planning.prediction import Prediction
from isoflop.analysis.planning.question import Question
from isoflop.analysis.result import LawFit
from isoflop.base.errors import UserError

Fit = LawFit | str | Path


def predict(
    fit: Fit,
    flops: float | None = None,
    inference_tokens: float | None = None,
    force: bool = False,
    group: str | None = None,
    *,
    loss: float | None = None,
    n_params: float | None = None,
    tokens: float | None = None,
    unique_tokens: float | None = None,
) -> Prediction:
    """The compute-optimal run at a budget, or the one that has a loss, a size or a number of tokens.

    Args:
        fit: a `LawFit`, the path of a `fit.json`, a folder that holds one, or published constants by name,
            such as `chinchilla:besiroglu`.
        flops, loss, n_params, tokens: one of them: the training budget (FLOPs), the loss to reach (in the
            fit's unit), the size (parameters) or the training tokens.
        inference_tokens: tokens to be served: also the cheapest model over training and use.
        unique_tokens: distinct tokens there are: also how often to repeat them.
        force: extrapolate even from a fit that is not certified or not identified.
        group: whose law, of a fit with parameters shared by groups.

    >>> import isoflop
    >>> fitted = isoflop.fit("runs.csv", bootstrap=0)
    >>> isoflop.predict(fitted, 1e12).loss < 2.5
    True
    >>> round(isoflop.predict("chinchilla:besiroglu", 5.76e23).n_opt / 1e9, 1)
    72.2
    """
    given = _numbers(flops=flops, loss=loss, n_params=n_params, tokens=tokens)
    limits = _numbers(inference_tokens=inference_tokens, unique_tokens=unique_tokens)
    answer = predicting.predict(_law(fit, group), **given, **limits, force=force)
    return replace(answer, warnings=(*answer.warnings, *_stale(fit)))


def planned_run(
    fit: Fit,
    *,
    flops: float | None = None,
    loss: float | None = None,
    n_params: float | None = None,
    tokens: float | None = None,
    force: bool = False,
    group: str | None = None,
) -> PlannedRun:
    """The run that two of its quantities determine, beside the compute-optimal one.

    Arguments as for `predict`.

    >>> import isoflop
    >>> run = isoflop.planned_run("chinchilla:besiroglu", n_params=8e9, tokens=15e12)
    >>> round(run.revealed_demand / run.d, 2)
    12.65
    """
    given = _numbers(flops=flops, loss=loss, n_params=n_params, tokens=tokens)
    run = planning.planned_run(_law(fit, group), Question(**given), force)
    return replace(run, warnings=(*run.warnings, *_stale(fit)))


def _law(fit: Fit, group: str | None) -> LawFit:
    read = as_fit(fit)
    return read if group is None else read.group(group)


def _stale(fit: Fit) -> tuple[str, ...]:
    return () if isinstance(fit, LawFit) else stale(fit)


def _numbers(**values: Any) -> dict[str, Any]:
    """The values. Raises `UserError` for what is no number."""
    for name, value in values.items():
        if not isinstance(value, int | float | None):
            raise UserError(f"{name} {value!r}: give a number, such as 1e18")
    return values
