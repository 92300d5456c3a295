"""The last words of a sweep: what became of it, and what to look at first."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoflop.sweeps.store import Store


def closing_lines(folder: Path) -> list[str]:
    """Of a sweep that was trained: its cells, its bill, and what is doubtful about its minima and rates."""
    summary = Store(folder).read_json("summary.json")
    with (folder / "runs.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    counts = Counter(row["status"] for row in runs)
    flops = summary["flops"]
    saved = 1 - flops["grid"] / flops["fresh_cosine"] if flops["fresh_cosine"] else 0.0
    cells = ", ".join(
        f"{counts[status]} {status}" for status in ("finished", "diverged", "failed") if counts[status]
    )
    return [
        f"cells: {cells}{_retried(runs)}",
        f"FLOPs: {flops['total']:.3g}; the grid {saved:.0%} less than fresh runs",
        *_known(summary),
        *_edges(runs),
        *(f"look at: {warning}" for warning in _doubts(summary)),
    ]


def _known(summary: dict[str, Any]) -> list[str]:
    """What an adaptive sweep has found out."""
    if not summary.get("rounds"):
        return []
    last = summary["rounds"][-1]
    if last["interval"] is None:
        return [f"after {len(summary['rounds'])} rounds: {last['why']}"]
    low, high = last["interval"]
    found = f"{last['estimate']:.4g} [{low:.4g}, {high:.4g}]"
    return [f"found: {found} after {len(summary['rounds'])} rounds; {last['why']}"]


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
    rate = summary["learning_rate"]
    checked = rate["checked"] or {}
    return [*rate["warnings"], *([checked["warning"]] if checked.get("warning") else [])]
