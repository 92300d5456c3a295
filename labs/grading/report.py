"""The class report: `class.csv`, a row a student, and `class.html`, which is one file and needs no other."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, select_autoescape

from isoflop.base import durable
from isoflop.base.display import Summary
from isoflop.labs.grading.grade import Grade
from isoflop.labs.lab import Lab
from isoflop.labs.pricing import price
from isoflop.labs.settings import Settings

FORMULA_SIGNS = ("=", "+", "-", "@")
"""A spreadsheet takes a cell that begins so for a formula: such names get an apostrophe."""


def write_report(folder: Path, grades: list[Grade], lab: Lab) -> None:
    """Writes both files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    durable.write(folder / "class.csv", class_csv(grades, lab.settings))
    durable.write(folder / "class.html", class_html(grades, lab.settings))


def class_csv(grades: list[Grade], settings: Settings) -> str:
    """A row a student; numbers that there are none of are empty."""
    rows = [_row(grade, settings) for grade in grades]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def class_html(grades: list[Grade], settings: Settings) -> str:
    """The class's table, and each student's part below it."""
    template = (files("isoflop.labs.grading") / "class.html.jinja").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
    )
    parts = [(grade, _best_row(grade, settings), _json(grade)) for grade in grades]
    return environment.from_string(template).render(
        parts=parts, settings=settings, overview=class_summary(grades)
    )


def class_summary(grades: list[Grade]) -> Summary:
    """What the class did, in a few numbers."""
    regrets = [grade.run.regret for grade in grades if grade.run is not None and grade.run.regret is not None]
    errors = [grade.prediction_error for grade in grades if grade.prediction_error is not None]
    intervals = [(grade.interval, grade.covered) for grade in grades if grade.covered is not None]
    rows = [
        ("students", str(len(grades))),
        ("final submissions", str(sum(grade.final is not None for grade in grades))),
    ]
    if regrets:
        rows += [
            ("median regret, nats a token", f"{median(regrets):.4f}"),
            ("largest regret", f"{max(regrets):.4f}"),
        ]
    if errors:
        rows += [
            ("median error of the predicted loss", f"{median(map(abs, errors)):.4f}"),
            ("median bias (above 0: predicted too high)", f"{median(errors):+.4f}"),
        ]
    if intervals:
        stated = sum(interval.level for interval, _ in intervals if interval) / len(intervals)
        held = sum(bool(covered) for _, covered in intervals)
        rows.append(
            ("intervals that held the loss", f"{held} of {len(intervals)}; {stated:.0%} would be calibrated")
        )
    return Summary("class", rows=rows)


def _row(grade: Grade, settings: Settings) -> dict[str, Any]:
    final, run, interval, truth = grade.final, grade.run, grade.interval, grade.truth
    name = f"'{grade.student}" if grade.student.startswith(FORMULA_SIGNS) else grade.student
    best = _best_row(grade, settings)
    return {
        "student": name,
        "regret": run and run.regret,
        "prediction_error": grade.prediction_error,
        "predicted_loss": final and final.predicted_final_loss,
        "loss": run and run.loss,
        "note": "no final submission" if run is None else run.note,
        "submitted_at": final and final.submitted_at.isoformat(),
        "n_params_non_embedding": run and run.price.n_params_non_embedding,
        "n_tokens": run and run.config.total_train_tokens,
        "flops": run and run.price.flops,
        "seconds": run and run.price.seconds,
        "interval_low": interval and interval.low,
        "interval_high": interval and interval.high,
        "interval_level": interval and interval.level,
        "interval_covered": grade.covered,
        "interval_score": grade.interval_score,
        "n_runs": grade.n_runs,
        "used_seconds": grade.budget.used_seconds,
        **{f"best_{key}": value for key, value in best.items()},
        "rank": grade.standing and grade.standing.rank,
        **{f"true_{key}": truth and getattr(truth, key) for key in ("E", "A", "alpha", "B", "beta")},
        "true_a": truth and truth.beta / (truth.alpha + truth.beta),
    }


def _best_row(grade: Grade, settings: Settings) -> dict[str, Any]:
    """The answer key's figures, by column."""
    if grade.best is None:
        return dict.fromkeys(("loss", "n_params_non_embedding", "n_tokens", "lr", "batch_windows"))
    config = grade.best.config
    cost = price(config, settings.machine, settings.windows, settings.budget_unit)
    return {
        "loss": grade.best.loss,
        "n_params_non_embedding": cost.n_params_non_embedding,
        "n_tokens": config.total_train_tokens,
        "lr": config.optimizer_config.lr_scheduler.peak_value,
        "batch_windows": config.train_batch_size,
    }


def _json(grade: Grade) -> dict[str, Any]:
    """The configs in full, and the law."""
    return {
        "submitted": grade.run and grade.run.config.model_dump(mode="json"),
        "best": grade.best and grade.best.config.model_dump(mode="json"),
        "law": grade.truth and asdict(grade.truth),
    }
