"""Fit a law to loss curves: search, certify, judge, resample, score what was held out."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.curves.data.curve import LossCurve, Shared, without_repeats
from isoflop.analysis.curves.evaluate import losses, stacked
from isoflop.analysis.curves.law import CurveLaw, FittedRange
from isoflop.analysis.curves.laws import find_curve_law
from isoflop.analysis.curves.options import CurveOptions
from isoflop.analysis.curves.result import CurveFit, CurveIntervals
from isoflop.analysis.curves.scores import CurveScore, score
from isoflop.analysis.curves.solving import (
    CurveProblem,
    at_bound,
    decoded,
    linearized,
    solve,
    starts,
)
from isoflop.analysis.curves.uncertainty import (
    LINEAR_DRAWS,
    Blocks,
    blocks_of,
    identify,
    linear_draws,
    noise_draws,
    refitted,
)
from isoflop.analysis.result import Certificate, Objective
from isoflop.analysis.solver.certificate import (
    SMALL_GRADIENT,
    STEEP,
    VANISHED,
    condition_number,
    same_optimum,
)
from isoflop.analysis.solver.solver import LEAST_SQUARES, Solutions
from isoflop.analysis.tables.cells import listed
from isoflop.analysis.uncertainty.intervals import span, span_with
from isoflop.base.errors import UserError

SCREENED = 160
"""Rows that every start is searched on; the best optima found there are refined on all."""
SCORED_POINTS = 1000
"""Bins into which a longer curve is averaged to be scored."""
REFINED = 4
"""Optima that are refined."""
SCREENING = 90
"""Iterations of the search on the sample."""
POOR = 0.02
"""Mean relative error of a fitted curve above which the curves are doubted to be of one model."""


@dataclass(frozen=True)
class Prepared:
    """What is fitted, what is scored, and notes on what was left out.

    `fitted`: curves as the fit sees them, thinned and without the rows of an earlier one; `scored`: the
    fitted and the held-out curves, whole but for the warm-up; `shared`: what a curve has in common with an
    earlier one.
    """

    fitted: list[LossCurve]
    scored: list[LossCurve]
    held: list[LossCurve]
    shared: dict[str, Shared]
    notes: tuple[str, ...]


def fit_curves(curves: Sequence[LossCurve], options: CurveOptions, notes: tuple[str, ...] = ()) -> CurveFit:
    """The law fitted to the curves that are not held out, and scored on all.

    Raises `UserError` for an unknown law, a held-out name that no curve has, and fewer rows than parameters.
    """
    law = find_curve_law(options.law)
    prepared = prepare(curves, options)
    problem, curve_R = problem_of(law, prepared.fitted, options)
    screen, refined = _search(problem, options.starts)
    theta_P, params_P = refined.theta_SxP[refined.best], refined.params_SxP[refined.best]
    certificate = _certify(problem, screen, refined)
    residual_R, _ = linearized(problem, theta_P)
    blocks = blocks_of(residual_R, curve_R)
    draws_BxP = _draws(problem, theta_P, residual_R, blocks, options)
    agree_S = same_optimum(refined.objective_S, len(residual_R))
    identified, doubts = identify(problem, theta_P, draws_BxP, refined.params_SxP[agree_S])
    found = CurveFit(
        law=options.law,
        params=dict(zip(law.parameters, map(float, params_P), strict=True)),
        objective=_objective(options, float(refined.objective_S[refined.best])),
        certificate=certificate,
        identified=identified,
        intervals=_intervals(problem, params_P, draws_BxP, blocks, options),
        curves=(),
        holdout=(),
        n_rows=len(residual_R),
        fitted=_covered(prepared.fitted),
        notes=(*notes, *prepared.notes),
    )
    found = dataclasses.replace(
        found,
        curves=scored(found, prepared.scored),
        holdout=scored(found, prepared.held, prepared.shared),
    )
    return dataclasses.replace(found, warnings=(*_warnings(found, certificate), *doubts))


def _draws(
    problem: CurveProblem, theta_P: np.ndarray, residual_R: np.ndarray, blocks: Blocks, options: CurveOptions
) -> np.ndarray:
    """theta of the resamples, BxP: refits, or without a bootstrap what those come to, to first order."""
    B = options.bootstrap or LINEAR_DRAWS
    noise_BxR = noise_draws(problem, theta_P, blocks, B, options.seed)
    if options.bootstrap:
        return refitted(problem, theta_P, noise_BxR, residual_R)
    return linear_draws(problem, theta_P, noise_BxR)


def _intervals(
    problem: CurveProblem, params_P: np.ndarray, draws_BxP: np.ndarray, blocks: Blocks, options: CurveOptions
) -> CurveIntervals | None:
    if not options.bootstrap:
        return None
    drawn_BxP = decoded(problem.law, draws_BxP, problem.centre)
    spans = [
        span_with(float(x), drawn_B, options.level) for x, drawn_B in zip(params_P, drawn_BxP.T, strict=True)
    ]
    return CurveIntervals(
        level=options.level,
        B=options.bootstrap,
        resampling=f"signs of {blocks.count} blocks of neighbouring residuals",
        correlation_time=blocks.correlation_time,
        blocks=blocks.count,
        params=dict(zip(problem.law.parameters, spans, strict=True)),
        draws=tuple(tuple(map(float, row)) for row in drawn_BxP),
    )


def prepare(curves: Sequence[LossCurve], options: CurveOptions) -> Prepared:
    """The curves without warm-up and repeated rows, thinned, and split by `options.holdout`.

    Raises `UserError` for a pattern that no curve meets, and where none is left to fit.
    """
    for pattern in options.holdout:
        if not any(fnmatch.fnmatch(curve.name, pattern) for curve in curves):
            names = ", ".join(curve.name for curve in curves)
            raise UserError(f"--holdout {pattern}: no curve is called so; there are {names}")
    late = [curve.since(curve.warm if options.from_step is None else options.from_step) for curve in curves]
    apart = {c.name for c in late if any(fnmatch.fnmatch(c.name, pattern) for pattern in options.holdout)}
    fitted = [curve for curve in late if curve.name not in apart]
    held = [curve for curve in late if curve.name in apart]
    if not fitted:
        raise UserError("every curve is held out: leave one to fit")
    # Fitted curves first: of a held-out one only what none of them has is news.
    own, shared = without_repeats([*fitted, *held])
    used = fitted if options.keep_repeats else [curve for curve in own if curve.name not in apart]
    return Prepared(
        fitted=[curve.thinned(options.points) for curve in used],
        scored=[curve.thinned(SCORED_POINTS) for curve in fitted],
        held=[curve.thinned(SCORED_POINTS) for curve in held],
        shared=shared,
        notes=_told(shared, options.keep_repeats),
    )


def _told(shared: dict[str, Shared], keep_repeats: bool) -> tuple[str, ...]:
    if not shared or keep_repeats:
        return ()
    rows = sum(each.rows for each in shared.values())
    return (
        f"{rows} rows that several curves share, as runs off one trunk do, count once (--keep-repeats counts "
        "them in each)",
    )


def problem_of(
    law: CurveLaw, curves: Sequence[LossCurve], options: CurveOptions
) -> tuple[CurveProblem, np.ndarray]:
    """The problem of all the curves' rows, and the number of each row's curve, R.

    Raises `UserError` for fewer rows than the law has parameters.
    """
    rows = sum(len(curve.steps_R) for curve in curves)
    if rows <= len(law.parameters):
        raise UserError(
            f"{rows} rows with a loss for the {len(law.parameters)} parameters of {law.name}: add curves"
        )
    features = stacked([law.features(curve.rates_T, curve.steps_R) for curve in curves])
    area_R = np.concatenate([np.cumsum(curve.rates_T)[curve.steps_R] for curve in curves])
    centre = float(np.exp(np.log(area_R).mean())), max(curve.peak for curve in curves)
    delta = options.delta if options.loss == "huber" else LEAST_SQUARES
    loss_R = np.concatenate([curve.loss_R for curve in curves])
    curve_R = np.repeat(np.arange(len(curves)), [len(curve.steps_R) for curve in curves])
    return CurveProblem(law, features, loss_R, delta, centre), curve_R


def _search(problem: CurveProblem, count: int) -> tuple[Solutions, Solutions]:
    """What every start came to on a sample of the rows, and the best of those refined on all."""
    R = len(problem.loss_R)
    rows = np.unique(np.linspace(0, R - 1, min(R, SCREENED)).round().astype(int))
    sample = problem.at(rows)
    screen = solve(sample, starts(sample, count), limit=SCREENING)
    if not np.isfinite(screen.objective_S).any():
        raise UserError(f"{problem.law.name} cannot be evaluated on these curves from any start")
    best = np.argsort(np.where(np.isfinite(screen.objective_S), screen.objective_S, np.inf))[:REFINED]
    return screen, solve(problem, screen.theta_SxP[best], warm=True)


def _certify(problem: CurveProblem, screen: Solutions, refined: Solutions) -> Certificate:
    """Evidence that the best refined solution is the optimum."""
    theta_P, params_P = refined.theta_SxP[refined.best], refined.params_SxP[refined.best]
    residual_R, jacobian_RxP = linearized(problem, theta_P)
    slope_R = np.clip(residual_R, -problem.delta, problem.delta)
    scale = float((np.abs(slope_R) * np.linalg.norm(jacobian_RxP, axis=1)).sum())
    gradient = float(refined.gradient_norm_S[refined.best])
    rows = min(len(residual_R), SCREENED)
    count = len(screen.objective_S)
    agree_S = same_optimum(np.nan_to_num(screen.objective_S, nan=np.inf), rows)
    alike = int(same_optimum(refined.objective_S, len(residual_R)).sum())
    reasons = []
    if not gradient <= SMALL_GRADIENT * scale + 1e-12:
        reasons.append(f"the gradient does not vanish ({gradient:.1e})")
    if agree_S.sum() < 2 or alike < 2:
        reasons.append(f"only {min(int(agree_S.sum()), alike)} of {count} starts reach the best objective")
    steep = STEEP * max(float(screen.gradient_norm_S[screen.best]), 1e-9)
    unfinished = ~np.isfinite(screen.objective_S) | (screen.gradient_norm_S > steep)
    others = {
        "local_optimum": int((~agree_S & ~unfinished).sum()),
        "unfinished": int((~agree_S & unfinished).sum()),
    }
    return Certificate(
        status="not_certified" if reasons else "certified",
        gradient_norm=gradient,
        starts=count,
        starts_at_optimum=int(agree_S.sum()),
        condition_number=condition_number(jacobian_RxP),
        bounds=_bounds(problem, theta_P, params_P),
        others=others,
        why="; ".join(reasons) or None,
    )


def _bounds(problem: CurveProblem, theta_P: np.ndarray, params_P: np.ndarray) -> tuple[str, ...]:
    """Parameters at a bound of the law's, and amplitudes of terms that are no part of any row's loss."""
    law = problem.law
    hit = set(np.flatnonzero(at_bound(law, theta_P)).tolist())
    whole_R = losses(law, params_P, problem.features)
    for index in law.linear:
        without_R = losses(law, np.where(np.arange(len(params_P)) == index, 0.0, params_P), problem.features)
        if not np.nanmax(np.abs(whole_R - without_R) / problem.loss_R) > VANISHED:
            hit.add(index)
    return tuple(name for p, name in enumerate(law.parameters) if p in hit)


def _objective(options: CurveOptions, value: float) -> Objective:
    if options.loss == "huber":
        return Objective("huber", "log", options.delta, "sum", value)
    return Objective("mse", "log", None, "sum", 2.0 * value)


def _covered(curves: Sequence[LossCurve]) -> FittedRange:
    longest = max(curves, key=lambda curve: int(curve.steps_R[-1]))
    after = [curve.rates_T[curve.warm : curve.steps_R[-1] + 1] for curve in curves]
    return FittedRange(
        steps=int(longest.steps_R[-1]) + 1,
        peak=longest.peak,
        warmup_steps=longest.warm,
        area=max(float(curve.rates_T[: curve.steps_R[-1] + 1].sum()) for curve in curves),
        lowest_rate=min(float(rates.min()) for rates in after),
    )


def scored(
    fit: CurveFit, curves: Sequence[LossCurve], shared: dict[str, Shared] | None = None
) -> tuple[CurveScore, ...]:
    """Each curve's score, with an interval of its last row's prediction where the fit has draws.

    `shared`: of held-out curves, what they have in common with earlier ones.
    """
    draws_BxP, found = fit.draws(), []
    for curve in curves:
        predicted_R = fit.predict(curve.rates_T, curve.steps_R)
        final = (None, None)
        if draws_BxP is not None and fit.intervals:
            drawn_B = fit.losses(draws_BxP, curve.rates_T, curve.steps_R[-1:])[:, 0]
            final = span(drawn_B, fit.intervals.level)
        unseen_R = None
        if shared is not None:
            unseen_R = curve.steps_R > shared.get(curve.name, Shared(0, -1)).until
        found.append(score(curve, predicted_R, final, unseen_R))
    return tuple(found)


def _warnings(fit: CurveFit, certificate: Certificate) -> tuple[str, ...]:
    found = []
    if certificate.status != "certified":
        found.append(f"the optimum is not certified: {certificate.why}")
    if certificate.bounds:
        found.append(f"at a bound: {', '.join(certificate.bounds)}")
    if poor := [each.name for each in fit.curves if each.mean_relative_error > POOR]:
        found.append(
            f"{listed(poor, 3)}: missed by over {POOR:.0%}; a curve law is of one model, batch and recipe: "
            "choose its curves with --select, and leave out the first steps with --from-step"
        )
    return tuple(found)
