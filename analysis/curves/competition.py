"""Which curve law? Each fitted to the same curves and scored on the same held-out ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from isoflop.analysis.curves.data.curve import LossCurve, Shared
from isoflop.analysis.curves.fit import Prepared, fit_curves, prepare
from isoflop.analysis.curves.laws import known_curve_laws
from isoflop.analysis.curves.options import CurveOptions
from isoflop.analysis.curves.result import CurveContender, CurveFit
from isoflop.analysis.curves.scores import mean_r_squared
from isoflop.analysis.curves.uncertainty import blocks_of
from isoflop.analysis.uncertainty.intervals import span
from isoflop.base.errors import UserError

REDRAWS = 1000


def compete_curves(
    curves: Sequence[LossCurve], options: CurveOptions, laws: Sequence[str] | None = None
) -> tuple[CurveContender, ...]:
    """Every law of the registry, or `laws`, and the options' own: fitted below, scored on what is held out.

    By the mean absolute error over held-out rows that no fitted curve has, the least first. Nothing is
    resampled but blocks of those rows.

    Raises `UserError` where nothing is held out.
    """
    if not options.holdout:
        raise UserError("laws compete on curves that they have not seen: hold some out, --holdout NAME")
    prepared = prepare(curves, options)
    names = dict.fromkeys([*(laws or known_curve_laws()), options.law])
    alone = dataclasses.replace(options, bootstrap=0)
    fits = [fit_curves(curves, dataclasses.replace(alone, law=name)) for name in names]
    errors = [_errors(fit, prepared) for fit in fits]
    if not errors[0].size:
        raise UserError("the held-out curves have no row that no fitted curve has, too: hold out others")
    best = int(np.argmin([np.abs(each).mean() for each in errors]))
    rows = [_contender(fit, each, errors[best], prepared) for fit, each in zip(fits, errors, strict=True)]
    return tuple(sorted(rows, key=lambda row: row.mean_abs_error))


def _errors(fit: CurveFit, prepared: Prepared) -> np.ndarray:
    """Measured less predicted in the held-out rows that no fitted curve has."""
    parts = [
        (curve.loss_R - fit.predict(curve.rates_T, curve.steps_R))[_unseen(curve, prepared)]
        for curve in prepared.held
    ]
    return np.concatenate(parts)


def _unseen(curve: LossCurve, prepared: Prepared) -> np.ndarray:
    return curve.steps_R > prepared.shared.get(curve.name, Shared(0, -1)).until


def _contender(fit: CurveFit, error_R: np.ndarray, best_R: np.ndarray, prepared: Prepared) -> CurveContender:
    excess_R = np.abs(error_R) - np.abs(best_R)
    counts = [int(_unseen(curve, prepared).sum()) for curve in prepared.held]
    assert fit.objective
    assert fit.certificate
    return CurveContender(
        law=fit.law,
        parameters=len(fit.params),
        mean_abs_error=float(np.abs(error_R).mean()),
        r_squared=mean_r_squared(fit.holdout),
        worst_error=float(error_R[np.argmax(np.abs(error_R))]),
        final_error=float(np.mean([abs(each.final_error) for each in fit.holdout])),
        objective=fit.objective.value,
        certificate=fit.certificate.status,
        unidentified=fit.unidentified,
        excess=float(excess_R.mean()),
        interval=_interval(excess_R, np.repeat(np.arange(len(counts)), counts)),
    )


def _interval(excess_R: np.ndarray, curve_R: np.ndarray):
    """Of a mean excess, by drawing blocks of neighbouring rows with replacement; open where all are zero."""
    if not excess_R.any():
        return None, None
    blocks = blocks_of(excess_R - excess_R.mean(), curve_R)
    M = blocks.count
    size_M, sum_M = np.bincount(blocks.member_R), np.bincount(blocks.member_R, excess_R)
    weight_BxM = np.random.default_rng(0).multinomial(M, np.full(M, 1 / M), size=REDRAWS)
    return span((weight_BxM @ sum_M) / (weight_BxM @ size_M), 0.95)
