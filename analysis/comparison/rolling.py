"""Rolling hold-outs: the law fitted below a growing cut in compute, and scored on all that lies above it.

One hold-out says how one prediction came out. Rolled over a table it says how errors and the coverage of
predictive intervals change with the distance of what is predicted from what was fitted.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from isoflop.analysis.approaches.fit import fit, prepare
from isoflop.analysis.approaches.forms import FURTHER_RUNS
from isoflop.analysis.approaches.holdout import nominal_flops, scored_minimum, scored_runs, split
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.laws import find_law
from isoflop.analysis.options import FitOptions
from isoflop.analysis.rolling_scores import DistanceBand, Rolling, RollingCut
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.search import ONE_CALL
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief

MOST_CUTS = 8
"""Cuts that are made of more, evenly over them: each costs a fit of every law."""
FEWEST_RUNS = 10
"""Runs below a cut, if the law has not more parameters than that."""
FEWEST_BUDGETS = 2
"""IsoFLOP budgets below a cut: one has no slope in compute."""
STEP = 2.0
"""Factor between the cuts of a table without IsoFLOP groups."""
RESAMPLES = 200
"""Bootstrap resamples of each fit, unless fewer are asked for."""
EDGES = (1.0, 2.0, 4.0, 10.0, 30.0, 100.0, 300.0, float("inf"))
"""Bands of distance: compute over the largest that was fitted."""


def rolling(
    table: RunTable,
    options: FitOptions | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Rolling:
    """Fit below each cut, predict what lies above. `progress` is called with the share done.

    The law, the objective and the level are those of `options`; intervals mix the other laws in. Raises
    `UserError` for another approach than 3, for a table of one budget, and where no cut leaves enough runs.
    """
    options = options or FitOptions()
    law = find_law(options.law)
    if options.approach != 3 or law.envelope:
        raise UserError("rolling hold-outs need a surface L(N, D): use --approach 3 and a law of N and D")
    options.refuse_share("--rolling")
    whole = prepare(table, options)
    options = dataclasses.replace(
        options,
        holdout=None, count=None, flops=None, drop_worst=0, forms=True, starts=ONE_CALL,
        bootstrap=min(options.bootstrap, RESAMPLES) or RESAMPLES,
    )  # fmt: skip
    fewest = max(FEWEST_RUNS, len(law.parameters) + FURTHER_RUNS)
    places, skipped = _places(whole, fewest)
    cuts = []
    for k, c_min in enumerate(places):
        try:
            cuts.append(_cut(whole, c_min, options))
        except UserError as error:
            skipped += (f"below {brief(c_min)} FLOPs: {error}",)
        progress((k + 1) / len(places))
    if not cuts:
        raise UserError(
            f"{whole.source}: no cut leaves {fewest} runs below it and some above: {'; '.join(skipped)}"
        )
    return Rolling(
        law=options.law,
        level=options.level,
        curve=options.curve,
        cuts=tuple(cuts),
        skipped=skipped,
        bands=_bands(cuts),
        all=_band(cuts, EDGES[0], EDGES[-1]),
    )


def _places(table: RunTable, fewest: int) -> tuple[list[float], tuple[str, ...]]:
    """The cuts, FLOPs, and those that are skipped, in words."""
    size_R = nominal_flops(table)
    groups = isoflop_groups(table)
    if len(groups) > FEWEST_BUDGETS:
        every = [float(size_R[group.rows].min()) for group in groups[1:]]
        budgets = {c: k + 1 for k, c in enumerate(every)}
    else:
        if size_R.max() <= STEP * size_R.min():
            raise UserError(
                f"{table.source} has one budget, {brief(float(size_R.max()))} FLOPs: rolling hold-outs fit "
                "smaller budgets and predict larger ones; add runs of other budgets"
            )
        count = int(np.log(size_R.max() / size_R.min()) / np.log(STEP))
        every = [float(size_R.max() / STEP**k) for k in range(count, 0, -1)]
        budgets = dict.fromkeys(every, FEWEST_BUDGETS)
    kept, skipped = [], []
    for c in every:
        below = int((size_R < c * (1 - 1e-9)).sum())
        if below < fewest:
            skipped.append(f"below {brief(c)} FLOPs: {below} runs, fewer than {fewest}")
        elif budgets[c] < FEWEST_BUDGETS:
            skipped.append(f"below {brief(c)} FLOPs: one budget")
        else:
            kept.append(c)
    if len(kept) > MOST_CUTS:
        kept = [kept[k] for k in np.unique(np.linspace(0, len(kept) - 1, MOST_CUTS).round().astype(int))]
    return kept, tuple(skipped)


def _cut(table: RunTable, c_min: float, options: FitOptions) -> RollingCut:
    below, held = split(table, c_min)
    fitted = fit(below, options)
    rng = np.random.default_rng([options.seed, 1])
    runs = scored_runs(fitted, held, options.level, rng)
    if not all(np.isfinite(run.predicted) for run in runs):
        raise UserError(f"{options.law}, fitted below, predicts no finite loss above")
    minima = [scored_minimum(fitted, held, group, options, rng) for group in isoflop_groups(held)]
    return RollingCut(
        c_min=c_min,
        c_fitted=float(nominal_flops(below).max()),
        n_fit=len(below),
        laws=(options.law, *(form.law for form in (fitted.forms.rivals if fitted.forms else ()))),
        runs=runs,
        minima=tuple(m for m in minima if m.loss_opt is not None and np.isfinite(m.loss_opt_predicted)),
    )


def _bands(cuts: Sequence[RollingCut]) -> tuple[DistanceBand, ...]:
    bands = (_band(cuts, low, high) for low, high in itertools.pairwise(EDGES))
    return tuple(band for band in bands if band.runs)


def _band(cuts: Sequence[RollingCut], low: float, high: float) -> DistanceBand:
    """All predictions, of every cut, between two distances."""

    def within(flops: float, cut: RollingCut) -> bool:
        # Runs of a nominal budget spread a little about it: none of those above a cut is left out.
        return low < max(flops / cut.c_fitted, 1.0 + 1e-9) <= high

    runs = [run for cut in cuts for run in cut.runs if within(run.flops, cut)]
    minima = [m for cut in cuts for m in cut.minima if within(m.flops, cut)]
    return DistanceBand(
        low=low,
        high=None if high == float("inf") else high,
        runs=len(runs),
        mean_abs_error=_mean([abs(run.error) for run in runs]),
        bias=_mean([run.error for run in runs]),
        half_width=_median([_half(run.interval) for run in runs]),
        coverage=_mean([bool(run.inside) for run in runs]),
        minima=len(minima),
        minimum_error=_mean([abs(m.error) for m in minima if m.error is not None]),
        minimum_half_width=_median([_half(m.loss_opt_interval) for m in minima]),
        loss_coverage=_mean([_holds(m.loss_opt_interval, m.loss_opt) for m in minima]),
        size_error=_mean([abs(np.log(m.n_opt_predicted / m.n_opt)) for m in minima if m.n_opt]),
        size_coverage=_mean([_holds(m.n_opt_interval, m.n_opt) for m in minima]),
    )


def _mean(values: Sequence[float | bool]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _half(interval: Interval | None) -> float:
    low, high = interval or (None, None)
    return np.inf if low is None or high is None else 0.5 * (high - low)


def _holds(interval: Interval | None, value: float | None) -> bool:
    """An open end holds everything beyond."""
    low, high = interval or (None, None)
    return value is not None and (low is None or low <= value) and (high is None or value <= high)
