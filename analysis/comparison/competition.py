"""Which law? Each fitted to the runs below a budget and scored on those above, beside baselines.

A law that fits what it saw says little: with five parameters most do. What counts is the error on runs it has
not seen, against what costs nothing: that nothing improves, a power law of compute, a plain regression.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.approaches.approach3 import approach3
from isoflop.analysis.approaches.fit import on_envelope, prepare
from isoflop.analysis.approaches.holdout import largest_budget, minimum, split
from isoflop.analysis.columns.metrics import LOSS
from isoflop.analysis.comparison.paired_test import Blocks, blocks_of
from isoflop.analysis.compute import per_token
from isoflop.analysis.laws import Law, find_law, known_laws
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.scores import Competition, Contender
from isoflop.analysis.solver.search import ONE_CALL, covariates
from isoflop.analysis.uncertainty.quantities import optimum
from isoflop.base.errors import UserError


@dataclass(frozen=True)
class _Setting:
    """What every contender is given: runs below and above, and the minimum to be predicted."""

    below: RunTable
    held: RunTable
    options: FitOptions
    flops: float | None
    loss: float | None


@dataclass(frozen=True)
class _Scored:
    contender: Contender
    held: RunTable
    errors_R: np.ndarray
    law: Law | None = None
    """None for a baseline."""


def compete(table: RunTable, options: FitOptions, laws: Sequence[str] | None = None) -> Competition:
    """Fit each law below the holdout and score it above; by default every law that the table has columns for.

    A law that contains another contender takes part if the runs below identify what it adds.

    Without `options.holdout` the largest budget is held out. Only how runs are counted, weighed and
    summed follows `options`; nothing is resampled but the held-out runs.

    Raises:
        UserError: the table has nothing to hold out, or no law can be fitted to the rest.
    """
    options.refuse_share("--compete")
    whole = prepare(table, options)
    c_min = options.holdout or largest_budget(whole)
    if c_min is None:
        raise UserError(
            f"{whole.source} has too few runs to hold some out: give a budget with --holdout C_MIN"
        )
    below, held = split(whole, c_min)
    options = dataclasses.replace(
        options, approach=3, bootstrap=0, starts=ONE_CALL, holdout=None, count=None, flops=None, drop_worst=0
    )
    flops, loss = minimum(held, options.curve)
    setting = _Setting(below, held, options, flops, loss)
    free = dataclasses.replace(options, fix=(), tie=())
    names = dict.fromkeys([*(laws or rivals(find_law(options.law).target)), options.law])
    entries = [dataclasses.replace(free, law=name) for name in names]
    if options != free:
        entries.append(options)
    scored, left_out = _fitted(setting, whole, c_min, entries)
    scored = _told_apart(scored, left_out, c_min, options.law)
    if not any(item.contender.scored_on == "runs" for item in scored):
        raise UserError(f"no law can be fitted below {c_min:.3g} FLOPs: {'; '.join(left_out.values())}")
    scored += [_persistence(setting), _regression(setting)]
    return _ranked(setting, c_min, scored, left_out)


def rivals(target: str = LOSS) -> tuple[str, ...]:
    """Every law of this target that takes part unless laws are named."""
    laws = (find_law(name) for name in known_laws())
    return tuple(law.name for law in laws if law.competes and law.target == target)


def _fitted(
    setting: _Setting, whole: RunTable, c_min: float, entries: Sequence[FitOptions]
) -> tuple[list[_Scored], dict[str, str]]:
    scored, left_out = [], {}
    for options in entries:
        name = options.law
        try:
            law = find_law(name)
            parts = split(on_envelope(whole), c_min) if law.envelope else (setting.below, setting.held)
            scored.append(_law(setting, options, law, *parts))
        except UserError as error:
            left_out[name] = str(error)
    return scored, left_out


def _told_apart(scored: list[_Scored], left_out: dict[str, str], c_min: float, asked: str) -> list[_Scored]:
    """The contenders that the runs tell from one that they contain; the others are named in `left_out`."""
    kept, names = [], {item.contender.name for item in scored}
    for item in scored:
        name, inner = item.contender.name, item.law.contains if item.law else None
        further = set(item.law.parameters if item.law else ())
        further -= set(find_law(inner).parameters if inner in names else further)
        unknown = further.intersection(item.contender.unidentified)
        if not unknown or name == asked:
            kept.append(item)
            continue
        left_out[name] = (
            f"{name}: {', '.join(sorted(unknown))} not identified by the runs below {c_min:.3g} FLOPs, which "
            f"do not tell it from {inner}"
        )
    return kept


def _law(setting: _Setting, options: FitOptions, law: Law, below: RunTable, held: RunTable) -> _Scored:
    found = approach3(below, options)
    told = f" with {found.constraints.words}" if found.constraints else ""
    name = options.law + told
    free = len(law.parameters) if found.fitted is None else len(found.fitted.law.parameters)
    params_P = np.array(list(found.params.values()), dtype=float)
    predicted_R = evaluate(law, params_P, held.N_R, held.D_R, *covariates(held, law))
    if not np.all(np.isfinite(predicted_R)):
        raise UserError(f"{name}, fitted below, predicts no finite loss above")
    best = _least(setting, law, params_P, held)
    certificate, a = found.certificate, found.exponents["a"]
    contender = dataclasses.replace(
        _score(setting, name, "law", law.equation, free, predicted_R, held),
        scored_on="envelope" if law.envelope else "runs",
        n_fit=len(below),
        residual_log_sd=found.noise,
        objective=found.objective.value if found.objective else None,
        certificate=certificate.status if certificate else None,
        bounds=certificate.bounds if certificate else (),
        unidentified=tuple(key for key, known in found.identified.items() if not known),
        exponent=a if a is not None and np.isfinite(a) else None,
        optimum_loss=best,
        optimum_error=None if best is None or setting.loss is None else setting.loss - best,
    )
    return _Scored(contender, held, held.loss_R - predicted_R, law)


def _least(setting: _Setting, law: Law, params_P: np.ndarray, held: RunTable) -> float | None:
    """The least loss at the largest held-out budget; None where the law has no optimum there."""
    if setting.flops is None:
        return None
    if law.envelope:
        inputs = (held.N_R[:1], held.D_R[:1], np.array([setting.flops]))
        return float(evaluate(law, params_P, *inputs)[0])
    _, loss = optimum(law, params_P[None], setting.flops, per_token(setting.below))
    return float(loss[0]) if np.isfinite(loss[0]) else None


def _score(
    setting: _Setting,
    name: str,
    kind: str,
    form: str,
    parameters: int,
    predicted_R: np.ndarray,
    held: RunTable,
) -> Contender:
    errors_R = held.loss_R - predicted_R
    worst = int(np.argmax(np.abs(errors_R)))
    return Contender(
        name=name,
        kind=kind,
        form=form,
        parameters=parameters,
        scored_on="runs",
        n_fit=len(setting.below),
        n_scored=len(held),
        mean_abs_error=float(np.abs(errors_R).mean()),
        bias=float(errors_R.mean()),
        worst=float(errors_R[worst]),
        worst_row=int(held.frame.index[worst]),
    )


def _persistence(setting: _Setting) -> _Scored:
    """Nothing improves: each run keeps the loss of its size's longest run below, or of the nearest run."""
    below, held = setting.below, setting.held
    predicted_R = np.empty(len(held))
    for r, (N, D) in enumerate(zip(held.N_R, held.D_R, strict=True)):
        away = np.abs(np.log(below.N_R / N))
        distance = np.hypot(away, np.log(below.D_R / D))
        # Sizes of one model are equal to rounding, whatever they were computed from.
        same = np.flatnonzero(away < 1e-9)
        if len(same):
            same = same[below.D_R[same] == below.D_R[same].max()]
        predicted_R[r] = below.loss_R[same if len(same) else [int(np.argmin(distance))]].mean()
    form = "the loss of the longest run of the same size, or of the nearest run"
    contender = _score(setting, "nothing improves", "baseline", form, 0, predicted_R, held)
    best = float(below.loss_R.min())
    return _Scored(_aimed(setting, contender, best), held, held.loss_R - predicted_R)


def _regression(setting: _Setting) -> _Scored:
    """Least squares of log loss on log N and log D: no irreducible loss, and no optimum."""
    below, held = setting.below, setting.held
    rows, above = (np.stack([np.ones(len(t)), np.log(t.N_R), np.log(t.D_R)], axis=1) for t in (below, held))
    slopes, *_ = np.linalg.lstsq(rows, np.log(below.loss_R), rcond=None)
    residual_R = np.log(below.loss_R) - rows @ slopes
    predicted_R = np.exp(above @ slopes)
    contender = dataclasses.replace(
        _score(setting, "log-linear", "baseline", "log L = c + n log N + d log D", 3, predicted_R, held),
        residual_log_sd=float(np.sqrt((residual_R**2).sum() / max(len(residual_R) - 3, 1))),
    )
    return _Scored(contender, held, held.loss_R - predicted_R)


def _aimed(setting: _Setting, contender: Contender, best: float) -> Contender:
    if setting.loss is None:
        return contender
    return dataclasses.replace(contender, optimum_loss=best, optimum_error=setting.loss - best)


def _ranked(setting: _Setting, c_min: float, scored: list[_Scored], left_out: dict[str, str]) -> Competition:
    """The contenders with their excess over the best law, each on the runs that it was scored on."""
    options = setting.options
    whole_field = [item for item in scored if item.contender.scored_on == "runs"]
    laws = [item for item in whole_field if item.contender.kind == "law"]
    best = min(laws, key=lambda item: item.contender.mean_abs_error)
    rows = []
    for item in scored:
        same = np.isin(setting.held.frame.index, item.held.frame.index)
        # Paired run by run: what makes a run hard for every law cancels in the difference.
        gap_R = np.abs(item.errors_R) - np.abs(best.errors_R[same])
        blocks: Blocks = blocks_of(item.held)
        itself = item is best
        interval = (None, None) if itself else blocks.interval(gap_R, options.level, options.seed)
        rows.append(dataclasses.replace(item.contender, excess=float(gap_R.mean()), interval=interval))
    rows.sort(key=lambda row: (row.scored_on != "runs", row.mean_abs_error))
    return Competition(
        c_min=c_min,
        n_fit=len(setting.below),
        n_held_out=len(setting.held),
        best=best.contender.name,
        curve=options.curve,
        optimum_flops=setting.flops,
        optimum_loss=setting.loss,
        level=options.level,
        resampling=blocks_of(setting.held).description,
        rows=tuple(rows),
        left_out=left_out,
        unit=setting.below.conventions.unit,
    )
