"""Approach 3: a parametric law fitted to every run. Hoffmann et al. (2022), section 3.3 and appendix D.3."""

from __future__ import annotations

import dataclasses

import numpy as np

from isoflop.analysis.approaches.approach_result import ApproachResult
from isoflop.analysis.columns.metrics import LOSS
from isoflop.analysis.compute import PerToken, per_token
from isoflop.analysis.constraints import Constraints, parse_names
from isoflop.analysis.design.identifying import identifying_runs
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import Certificate, Objective
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.certificate import certify, same_optimum
from isoflop.analysis.solver.fitted_law import FittedLaw, Surface, fitted_law
from isoflop.analysis.solver.linearize import middle_of_runs, residuals
from isoflop.analysis.solver.search import fit_problem, search
from isoflop.analysis.solver.solver import LEAST_SQUARES, FitProblem, Solutions, solve
from isoflop.analysis.uncertainty.identifiability import Verdict, identify
from isoflop.analysis.uncertainty.misfit import misfit_at
from isoflop.analysis.uncertainty.quantities import budget_range, exponents, profile_intervals
from isoflop.analysis.uncertainty.resampling import Resamples, resample, trunks_of
from isoflop.base.errors import UserError

LARGE, SAMPLE = 20_000, 2_000
"""Runs above which starts are searched on a sample, and how many it has."""
FEWEST_DRAWS = 20
"""Resamples that are made however large the table is: with fewer a 95% interval is their whole range."""
ALIKE = 1e-9
"""Exponents of two groups that differ by less are one: they were computed from the same parameters."""
MOST_OPTIMA = 3
"""Distinct optima of the sample that are refined on a large table."""
NOTHING_NEXT = (
    "no run of the largest one's price would identify it: where the law is plausible, its rivals differ by "
    "less than the noise; widen the range of sizes and tokens, or repeat runs"
)
MAX_RESAMPLED_RUNS = 40_000_000
"""Most rows times resamples of a bootstrap: a bound on the time that a large table takes."""


def approach3(table: RunTable, options: FitOptions) -> ApproachResult:
    """Fit the law, certify the optimum, judge each parameter, resample.

    Raises `UserError` for an unknown law, for a column that it needs and the table lacks, and for fewer runs
    than the law has parameters.
    """
    fitted = fitted_law(table, options)
    law = fitted.law
    if len(table) < len(law.parameters):
        raise UserError(
            f"{table.source} leaves {len(table)} usable runs for the {len(law.parameters)} parameters of "
            f"{law.name}: add runs, at least {len(law.parameters) + 1} and better 20"
        )
    problem = fit_problem(table, law, options)
    solutions, certificate, verdict, warnings = _search_and_judge(problem, table.loss_R, options.starts)
    params_P = solutions.params_SxP[solutions.best]
    if certificate.status != "certified":
        warnings = (f"the optimum is not certified: {certificate.why}", *warnings)
    if certificate.bounds:
        warnings += (f"at a bound: {', '.join(certificate.bounds)}",)
    cost, C_K = per_token(table), budget_range(table)
    surfaces, full_1xP = fitted.surfaces(cost, C_K), fitted.map.rows(params_P[None])
    if fitted.base.target == LOSS:
        warnings += tuple(d for surface in surfaces for d in _rising(surface, full_1xP, problem.centre))
    lack_of_fit = misfit_at(problem, solutions.theta_SxP[solutions.best], table.loss_R, trunks_of(table))
    if lack_of_fit and lack_of_fit.rejected:
        warnings += (lack_of_fit.doubt(law.name),)
    noise = _noise(problem, params_P, table.loss_R)
    suggested = _next(problem, solutions, verdict, cost, table, noise)
    if verdict.warnings and not suggested:
        warnings += (NOTHING_NEXT,)
    result = ApproachResult(
        law=options.law,
        fitted=fitted,
        params=dict(zip(fitted.whole.parameters, map(float, full_1xP[0]), strict=True)),
        exponents={name: float(x_1[0]) for name, x_1 in exponents_of(surfaces, full_1xP).items()},
        constraints=constraints_of(fitted, options),
        cost=cost,
        objective=_objective(options, float(solutions.objective_S[solutions.best])),
        certificate=certificate,
        identified=_identified(verdict, fitted, params_P, surfaces),
        misfit=lack_of_fit,
        next_runs=suggested,
        noise=noise,
        warnings=warnings,
        notes=_notes(surfaces, problem),
    )
    return _with_uncertainty(result, fitted, problem, table, solutions, options)


def _search_and_judge(
    problem: FitProblem, loss_R: np.ndarray, starts: int
) -> tuple[Solutions, Certificate, Verdict, tuple[str, ...]]:
    """The solutions, the certificate, the verdict on each parameter, and the warnings so far.

    A large table is searched and judged on a sample of its runs, and the optima found there are refined on
    all: what a sample identifies, the whole does.
    """
    if len(loss_R) <= LARGE:
        solutions = search(problem, loss_R, starts)
        verdict = identify(problem, loss_R, solutions)
        return solutions, certify(problem, loss_R, solutions), verdict, verdict.warnings
    rows = np.sort(np.random.default_rng(0).choice(len(loss_R), SAMPLE, replace=False))
    sample = problem.at(rows)
    found = search(sample, loss_R[rows], starts)
    verdict = identify(sample, loss_R[rows], found)
    optima = found.theta_SxP[_distinct(found)]
    solutions = solve(problem, optima, loss_R[None], np.ones((1, len(loss_R))), warm=True)
    certificate = dataclasses.replace(
        certify(problem, loss_R, solutions, fewest=1),
        starts=starts,
        starts_at_optimum=int(same_optimum(found.objective_S, SAMPLE).sum()),
    )
    note = f"{starts} starts were searched on {SAMPLE} of {len(loss_R)} runs, their optima refined on all"
    return solutions, certificate, verdict, (note, *verdict.warnings)


def _distinct(found: Solutions) -> list[int]:
    """Positions of the best few optima of different objectives, best first."""
    chosen: list[int] = []
    for s in np.argsort(found.objective_S):
        value = found.objective_S[s]
        if len(chosen) < MOST_OPTIMA and (not chosen or value > found.objective_S[chosen[-1]] * (1 + 1e-3)):
            chosen.append(int(s))
    return chosen


def bootstrap(
    problem: FitProblem, table: RunTable, solutions: Solutions, options: FitOptions, B: int
) -> tuple[Solutions, Resamples]:
    """B refits to resampled runs, begun at the best solution, and the resamples."""
    rng = np.random.default_rng(options.seed)
    params_P = solutions.params_SxP[solutions.best]
    predicted_R = middle_of_runs(problem, params_P, table.loss_R)
    resamples = resample(table, predicted_R, len(params_P), B, rng, options.resample)
    # Begun at the table's own optimum: a resample's lies nearby, and many starts for each would multiply the
    # cost by their number.
    theta_BxP = np.repeat(solutions.theta_SxP[solutions.best][None], B, axis=0)
    return solve(problem, theta_BxP, resamples.loss_BxR, resamples.weight_BxR, warm=True), resamples


def _with_uncertainty(
    result: ApproachResult,
    fitted: FittedLaw,
    problem: FitProblem,
    table: RunTable,
    solutions: Solutions,
    options: FitOptions,
) -> ApproachResult:
    """The result with bootstrap draws and profiles, where they are asked for."""
    if options.bootstrap:
        B = min(options.bootstrap, max(MAX_RESAMPLED_RUNS // len(table), FEWEST_DRAWS))
        note = f"{B} resamples instead of {options.bootstrap}: {len(table)} runs are many"
        drawn, resamples = bootstrap(problem, table, solutions, options, B)
        full_BxP = fitted.map.rows(drawn.params_SxP)
        surfaces = fitted.surfaces(result.cost, budget_range(table))
        result = dataclasses.replace(
            result,
            draws_BxP=full_BxP,
            exponent_draws_BxK=np.stack(list(exponents_of(surfaces, full_BxP).values()), axis=1),
            resampling=resamples.description,
            warnings=(*result.warnings, note) if options.bootstrap > B else result.warnings,
        )
    if options.intervals == "profile":
        found = profile_intervals(problem, table, solutions, result, options)
        result = dataclasses.replace(result, profiles=found)
    return result


def _rising(surface: Surface, full_1xP: np.ndarray, centre: tuple[float, float]) -> tuple[str, ...]:
    """A warning for size and for tokens, where the fitted loss rises with them at the table's centre."""
    n0, d0 = centre
    points = np.array([[n0, d0], [1.01 * n0, d0], [n0, 1.01 * d0]]).T
    extra = surface.law.fill(points[0], points[1], 6 * n0 * d0 * np.ones(3))
    # A percent up from the centre in one of the two, the other held.
    here, *moved = evaluate(surface.law, surface.params(full_1xP)[0], *points, *extra)
    of = f" of {surface.group}" if surface.group else ""
    return tuple(
        f"the fitted loss{of} rises with {name}: look for columns that are swapped, or unlike runs"
        for name, loss in zip(("N", "D"), moved, strict=True)
        if loss > here * (1 + 1e-9)
    )


def _next(problem, solutions, verdict, cost: PerToken, table: RunTable, noise: float):
    if all(verdict.identified.values()) or problem.law.grouped or not problem.law.sized:
        return ()
    best = solutions.best
    params_P, theta_P = solutions.params_SxP[best], solutions.theta_SxP[best]
    return identifying_runs(
        problem, params_P, theta_P, verdict.rivals_AxP, cost, float(table.C_R.max()), noise, table.loss_R
    )


def exponents_of(surfaces: tuple[Surface, ...], full_BxP: np.ndarray) -> dict[str, np.ndarray]:
    """Exponents by name, of each of B full parameter vectors: a and b, and of each group `a[c4]`, `b[c4]`.

    With groups, a and b are those that all have in common, and NaN where they differ.
    """
    found = {}
    for surface in surfaces:
        of_B = exponents(surface.law, surface.params(full_BxP), surface.budgets_K, surface.cost)
        found |= {name + surface.suffix: x_B for name, x_B in zip(("a", "b"), of_B.T, strict=True)}
    if "a" in found:
        return found
    common = {}
    for name in ("a", "b"):
        x_GxB = np.stack([found[name + surface.suffix] for surface in surfaces])
        alike_B = np.ptp(x_GxB, axis=0) <= ALIKE
        common[name] = np.where(alike_B, x_GxB[0], np.nan)
    return common | found


def _identified(
    verdict: Verdict, fitted: FittedLaw, params_P: np.ndarray, surfaces: tuple[Surface, ...]
) -> dict[str, bool]:
    """The verdict on each parameter that was not fixed, and on the exponents.

    A tied parameter has that of the one it is equal to. An exponent that moves with a parameter that is not
    identified is not identified either.
    """
    leader = {name: name for name in fitted.law.parameters} | fitted.tied
    found = {name: verdict.identified[leader[name]] for name in fitted.whole.parameters if name in leader}
    if not (fitted.base.sized and fitted.base.target == LOSS):
        return found  # no loss that a budget could be split for
    here = exponents_of(surfaces, fitted.map.rows(params_P[None]))
    known = {name: True for name, x_1 in here.items() if len(surfaces) == 1 or np.isfinite(x_1[0])}
    for p, name in enumerate(fitted.law.parameters):
        if verdict.identified[name]:
            continue
        moved_P = np.where(np.arange(len(params_P)) == p, 1.1 * params_P, params_P)
        there = exponents_of(surfaces, fitted.map.rows(moved_P[None]))
        for exponent in known:
            # False where it is not a number.
            known[exponent] &= bool(abs(there[exponent][0] - here[exponent][0]) <= 1e-6)
    return found | known


def _notes(surfaces: tuple[Surface, ...], problem: FitProblem) -> dict[str, str]:
    closed = all(surface.cost.six_n and surface.law.exponents is not None for surface in surfaces)
    notes = {"exponents": "closed form" if closed else "slopes of the allocation over the table"}
    if np.ndim(problem.scale):
        notes["weights"] = "residuals over the seed noise at their compute, relative to its typical size"
    return notes


def constraints_of(fitted: FittedLaw, options: FitOptions) -> Constraints | None:
    """What was fixed, tied and shared; None where nothing was."""
    if len(fitted.law.parameters) == len(fitted.base.parameters) and not fitted.groups:
        return None
    shared = parse_names(options.share)
    return Constraints(fitted.fixed, fitted.tied, shared, options.by, fitted.groups)


def _objective(options: FitOptions, value: float) -> Objective:
    weight = options.overestimate_weight
    if options.loss == "huber":
        return Objective("huber", options.space, options.delta, "sum", value, weight)
    return Objective("mse", options.space, None, "sum", 2.0 * value, weight)


def _noise(problem: FitProblem, params_P: np.ndarray, loss_R: np.ndarray) -> float:
    plain = dataclasses.replace(problem, space="log", delta=LEAST_SQUARES, scale=1.0)
    residual_R = residuals(plain, params_P, loss_R)
    return float(np.sqrt((residual_R**2).sum() / max(len(residual_R) - len(params_P), 1)))
