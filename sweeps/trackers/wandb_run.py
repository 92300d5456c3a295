"""What a cell, or a sweep's end, is as a run of Weights & Biases."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isoflop.sweeps.row import Row
from isoflop.train.result import MEASURED

OUTCOME = (*MEASURED, "status", "reason", "device")
"""Columns of the run table that are known only afterwards; the others are config as well."""

LOGARITHMS = ("flops", "budget", "n_tokens", "n_params_non_embedding")
"""Columns that are in the summary as log10_* too: W&B's scatter and parallel-coordinate axes are linear."""

FILES = ("report.html", "fit.json", "*.csv", "summary.json", "sweep.json", "figures/*")
"""What of a sweep's folder goes into the artifact."""

LONGEST_GROUP = 80
"""Characters of the group in a run's id, which may have 128."""


@dataclass(frozen=True)
class Run:
    """`points`: of the curve, each with its step; `table`: columns and rows; `files`: the artifact's, by the
    name in it. `over`: whether no more is to come. `digest` names this content, so that what
    the server has is known."""

    id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    config: dict[str, Any]
    summary: dict[str, Any]
    points: tuple[dict[str, Any], ...] = ()
    failed: bool = False
    table: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)
    over: bool = True
    digest: str = ""


def cell_run(sweep: str, config: Mapping[str, Any], curve: Sequence[Mapping[str, Any]], row: Row) -> Run:
    """A cell's run: its spec and design as config, the row as summary, the curve against tokens and FLOPs."""
    group = group_of(sweep)
    known = {column: value for column, value in row.to_dict().items() if value is not None}
    outcome = {*OUTCOME, *row.eval_losses}
    design = {column: value for column, value in known.items() if column not in outcome}
    logs = {f"log10_{column}": math.log10(known[column]) for column in LOGARITHMS if known.get(column)}
    budget, failed = f"C={row.budget:.3g}", row.is_over and not row.is_finished
    run = Run(
        id=f"{_slug(group)}-{row.cell_id}",
        name=f"d{row.d_model} {budget} {row.role} s{row.init_seed} {row.cell_id[:6]}",
        group=group,
        job_type=row.role,
        tags=(budget, row.schedule, f"trunk-{row.trunk_id[:8]}", *((row.status,) if failed else ())),
        config={**config, **design},
        summary=known | logs,
        points=tuple({**point, "train_loss_by_flops": point["train_loss"]} for point in curve),
        failed=failed,
        over=row.is_over,
    )
    return _digested(run, {})


def report_run(sweep: str, folder: Path, rows: Sequence[Row]) -> Run:
    """The run of a sweep's end: the run table as a Table, the fit as summary, the report as files."""
    group, records = group_of(sweep), [row.to_dict() for row in rows]
    files = {str(p.relative_to(folder)): p for pattern in FILES for p in sorted(folder.glob(pattern))}
    fit = json.loads((folder / "fit.json").read_text()) if (folder / "fit.json").exists() else {}
    run = Run(
        id=f"{_slug(group)}-report",
        name=f"{sweep} report",
        group=group,
        job_type="report",
        tags=("report",),
        config={"sweep": sweep, "provenance": fit.get("provenance")},
        summary=_fit_summary(fit),
        table={
            "columns": list(records[0]) if records else [],
            "data": [list(record.values()) for record in records],
        },
        files={name: str(path.resolve()) for name, path in files.items()},
    )
    return _digested(run, {name: hashlib.sha256(p.read_bytes()).hexdigest() for name, p in files.items()})


def group_of(sweep: str) -> str:
    """The sweep's name, unless WANDB_RUN_GROUP names whose it is where many run the same."""
    return os.environ.get("WANDB_RUN_GROUP") or sweep


def _slug(group: str) -> str:
    """The group as part of an id, in which W&B allows few characters; distinct for distinct groups."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", group)[:LONGEST_GROUP]
    return plain if plain == group else f"{plain}-{hashlib.sha256(group.encode()).hexdigest()[:6]}"


def _fit_summary(fit: Mapping[str, Any]) -> dict[str, Any]:
    """A fit's numbers, each with its interval, and the verdicts on them, under `fit.`."""
    numbers = {**(fit.get("params") or {}), **(fit.get("exponents") or {})}
    intervals = fit.get("intervals") or {}
    identified = fit.get("identified")
    identified = identified if isinstance(identified, Mapping) else {}
    summary: dict[str, Any] = {"law": fit.get("law"), "level": intervals.get("level")} | numbers
    for name, bounds in {**(intervals.get("params") or {}), **(intervals.get("exponents") or {})}.items():
        if bounds:
            summary |= {f"{name}_low": bounds[0], f"{name}_high": bounds[1]}
    misfit = (fit.get("misfit") or {}).get("p_value")
    summary |= {
        "certified": (fit.get("certificate") or {}).get("status"),
        "identified": all(identified.values()) if identified else None,
        "unidentified": ", ".join(name for name, known in identified.items() if not known) or None,
        "misfit_p": misfit,
        "warnings": "; ".join(fit.get("warnings") or ()) or None,
    }
    return {f"fit.{key}": value for key, value in summary.items() if value is not None}


def _digested(run: Run, contents: dict[str, str]) -> Run:
    text = json.dumps(vars(run) | {"files": contents}, sort_keys=True)
    return replace(run, digest=hashlib.sha256(text.encode()).hexdigest()[:16])
