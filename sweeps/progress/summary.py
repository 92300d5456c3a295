"""The last words of a sweep: what became of it, and what to look at first."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoflop.analysis.design.estimate import METHOD
from isoflop.sweeps.queue.store import Store


def closing_lines(folder: Path) -> list[str]:
    """Of a sweep that was trained: what is doubtful about it, then its target, its cells and its bill."""
    summary = Store(folder).read_json("summary.json")
    with (folder / "runs.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    counts = Counter(row["status"] for row in runs)
    cells = ", ".join(
        f"{counts[status]} {status}" for status in ("finished", "diverged", "failed") if counts[status]
    )
    return [
        *(f"look at: {warning}" for warning in _doubts(summary)),
        *_edges(runs),
        *_known(summary),
        f"cells: {cells}{_retried(runs)}",
        f"FLOPs: {summary['flops']['total']:.3g}{_saved(summary['flops'])}",
    ]


def _saved(flops: dict[str, float]) -> str:
    """What shared trunks made of the grid's price."""
    if not flops["fresh_cosine"] or flops["grid"] == flops["fresh_cosine"]:
        return ""
    share = flops["grid"] / flops["fresh_cosine"] - 1
    return f"; the grid {abs(share):.0%} {'more' if share > 0 else 'less'} than fresh runs"


def _known(summary: dict[str, Any]) -> list[str]:
    """What an adaptive sweep has found out: by its own method, which the report's need not agree with."""
    if not summary.get("rounds"):
        return []
    last, asked = summary["rounds"][-1], summary.get("adaptive") or {}
    name = asked.get("target", "the target")
    count = len(summary["rounds"])
    after = f"after {count} round{'s' if count > 1 else ''}"
    if last["interval"] is None:
        return [f"{name} is not known {after}: {last['why']}"]
    low, high = last["interval"]
    level = f" at {100 * asked['level_at_a_look']:.4g}%" if asked else ""
    return [
        f"{name} = {last['estimate']:.4g} [{low:.4g}, {high:.4g}]{level} by {METHOD}, {after}; {last['why']}"
    ]


def _retried(runs: Sequence[dict[str, str]]) -> str:
    again = sum(row["role"] == "retry" and row["status"] == "finished" for row in runs)
    return f" ({again} finished at a lower rate than the rule's)" if again else ""


def _edges(runs: Sequence[dict[str, str]]) -> list[str]:
    """Budgets whose least loss is at the smallest or largest size: they have no minimum yet."""
    budgets: dict[float, list[tuple[float, int]]] = {}
    for row in runs:
        if row["status"] == "finished" and row["role"] != "replicate":
            budgets.setdefault(float(row["budget"]), []).append((float(row["loss"]), int(row["d_model"])))
    lines = []
    for budget, own in sorted(budgets.items()):
        widths, best = sorted({width for _, width in own}), min(own)[1]
        if len(widths) > 1 and best in (widths[0], widths[-1]):
            side, way = ("smallest", "smaller") if best == widths[0] else ("largest", "larger")
            lines.append(f"look at: budget {budget:.3g}: the {side} width, {best}, is best: add {way} ones")
    return lines


def _doubts(summary: dict[str, Any]) -> Sequence[str]:
    rate, rounds = summary["learning_rate"], summary.get("rounds") or []
    checked = rate["checked"] or {}
    of_rounds = rounds[-1]["warnings"] if rounds else []
    return [*of_rounds, *rate["warnings"], *([checked["warning"]] if checked.get("warning") else [])]
