"""The summary of a sweep, `summary.json`, and what of it a person should look at first."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoflop.analysis.design.estimate import METHOD
from isoflop.base.json_values import from_json, to_json
from isoflop.sweeps.grids.tuning import TunedRates
from isoflop.sweeps.progress.table_files import RUNS, read_rows
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.rate_check import RateCheck
from isoflop.sweeps.row import Row
from isoflop.train.data.corpus import Corpus

SUMMARY = "summary.json"


@dataclass(frozen=True)
class StageSeconds:
    """A stage, and its wall time in this run of the command."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Flops:
    """What was spent. `fresh_cosine`: the grid, each cell trained alone from initialization."""

    grid: int
    tuning: int
    checks: int
    total: int
    fresh_cosine: int


@dataclass(frozen=True)
class RateRule:
    """The learning-rate rule in words, as it was tuned, and its checks. `settings`: the values of the sweep's
    axes at which it holds."""

    rule: str
    tuned: TunedRates
    checked: tuple[RateCheck, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """The corpus, or those that are values of an axis, in each field one after the other. `train_tokens`: of
    the smallest; `floor`: nats per token that no model can be below, if known and the same for all."""

    name: str
    title: str
    licence: str
    tokenizer: str
    train_tokens: int
    floor: float | None
    digest: str

    @classmethod
    def of(cls, corpora: Sequence[Corpus], context_length: int) -> Dataset:
        """The corpora as the summary has them."""
        floors = {corpus.floor(context_length) for corpus in corpora}
        return cls(
            name=_in_a_row(corpus.spec.source for corpus in corpora),
            title=_in_a_row(corpus.title for corpus in corpora),
            licence=_in_a_row(corpus.licence for corpus in corpora),
            tokenizer=_in_a_row(corpus.spec.tokenizer for corpus in corpora),
            train_tokens=min(corpus.n_tokens("train") for corpus in corpora),
            floor=floors.pop() if len(floors) == 1 else None,
            digest=_in_a_row(corpus.spec.digest for corpus in corpora),
        )


def _in_a_row(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


@dataclass(frozen=True)
class SweepSummary:
    """What became of a sweep. `config`: its content id; `rounds`: the decisions of an adaptive sweep, each
    with the ids of the cells that it chose; `adaptive`: its options; `further_rates`: the rules at the other
    values of the sweep's axes; `forecasts`: the ids of the cells trained for registered forecasts."""

    config: str
    stages: tuple[StageSeconds, ...]
    flops: Flops
    learning_rate: RateRule
    dataset: Dataset
    rounds: tuple[dict[str, Any], ...] = ()
    adaptive: dict[str, Any] | None = None
    further_rates: tuple[RateRule, ...] = ()
    forecasts: tuple[str, ...] = ()


def write_summary(store: Store, summary: SweepSummary) -> None:
    """Write `summary.json`, the sign that the sweep is finished."""
    store.write_json(SUMMARY, to_json(summary))


def read_summary(store: Store) -> SweepSummary:
    """The summary that lies in a sweep's folder; `UserError` where there is none."""
    return from_json(SweepSummary, store.read_json(SUMMARY))


def summary_lines(folder: Path) -> list[str]:
    """A finished sweep in some lines: what is doubtful about it, then its target, its cells and its FLOPs."""
    store = Store(folder)
    summary, runs = read_summary(store), read_rows(store, (RUNS,))
    counts = Counter(row.status for row in runs)
    cells = ", ".join(
        f"{counts[status]} {status}" for status in ("finished", "diverged", "failed") if counts[status]
    )
    return [
        *(f"look at: {doubt}" for doubt in (*_doubts(summary), *_edges(runs)) if doubt),
        *_known(summary),
        f"cells: {cells}{_retried(runs)}",
        f"FLOPs: {summary.flops.total:.3g}{_saved(summary.flops)}",
    ]


def _saved(flops: Flops) -> str:
    """What shared trunks made of the grid's price."""
    if not flops.fresh_cosine or flops.grid == flops.fresh_cosine:
        return ""
    share = flops.grid / flops.fresh_cosine - 1
    return f"; the grid {abs(share):.0%} {'more' if share > 0 else 'less'} than fresh runs"


def _known(summary: SweepSummary) -> list[str]:
    """What an adaptive sweep has found out: by its own method, which the report's need not agree with."""
    if not summary.rounds:
        return []
    last, options, count = summary.rounds[-1], summary.adaptive or {}, len(summary.rounds)
    name = options.get("target", "the target")
    after = f"after {count} round{'s' if count > 1 else ''}"
    if last["interval"] is None:
        return [f"{name} is not known {after}: {last['why']}"]
    low, high = last["interval"]
    level = f" at {100 * options['level_at_a_look']:.4g}%" if options else ""
    return [
        f"{name} = {last['estimate']:.4g} [{low:.4g}, {high:.4g}]{level} by {METHOD}, {after}; {last['why']}"
    ]


def _retried(runs: Sequence[Row]) -> str:
    again = sum(row.role == "retry" and row.is_finished for row in runs)
    return f" ({again} finished at a lower rate than the rule's)" if again else ""


def _edges(runs: Sequence[Row]) -> list[str]:
    """Budgets whose least loss is at the smallest or largest size: they have no minimum yet."""
    curves: dict[tuple[str, float], dict[int, list[float]]] = {}
    for row in runs:
        if row.loss is not None:
            curve = curves.setdefault((row.axes, row.budget), {})
            curve.setdefault(row.d_model, []).append(row.loss)
    lines = []
    for (axes, budget), own in sorted(curves.items()):
        widths, best = sorted(own), min(own, key=lambda width: statistics.fmean(own[width]))
        if len(widths) > 1 and best in (widths[0], widths[-1]):
            side, way = ("smallest", "smaller") if best == widths[0] else ("largest", "larger")
            lines.append(
                f"{axes}{axes and ': '}budget {budget:.3g}: the {side} width, {best}, is best: add {way} ones"
            )
    return lines


def _doubts(summary: SweepSummary) -> list[str]:
    doubts = list(summary.rounds[-1]["warnings"]) if summary.rounds else []
    for rate in (summary.learning_rate, *summary.further_rates):
        axes = ", ".join(f"{option}={value}" for option, value in rate.settings.items())
        own = [*rate.tuned.warnings, *(check.warning for check in rate.checked)]
        doubts += [f"{axes}: {doubt}" if axes else doubt for doubt in own if doubt]
    return doubts
