"""The class report: `class.csv`, a row a student; `class.html`; a page for each student in `students/`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from isoflop.base import durable
from isoflop.base.display import Summary
from isoflop.labs.grading.grade import Grade
from isoflop.labs.grading.student_page import file_name, student_html
from isoflop.labs.grading.templates import render
from isoflop.labs.lab import Lab
from isoflop.labs.own_fits import METHODS, OwnFits
from isoflop.labs.settings import Settings

FORMULA_SIGNS = ("=", "+", "-", "@")
"""A spreadsheet takes a cell that begins so for a formula: such names get an apostrophe."""


@dataclass(frozen=True)
class Part:
    """A student's row: the grade, the fits of the own runs, the true exponent, if known, and the page's
    file."""

    grade: Grade
    fits: OwnFits
    true_a: float | None
    file: str


def write_report(folder: Path, grades: list[Grade], fits: Mapping[str, OwnFits], lab: Lab) -> None:
    """Writes all files into a folder. `fits`: by student, of the own runs."""
    pages = folder / "students"
    pages.mkdir(parents=True, exist_ok=True)
    durable.write(folder / "class.csv", class_csv(grades, fits, lab.settings))
    durable.write(folder / "class.html", class_html(grades, fits, lab.settings))
    for grade in grades:
        page = student_html(grade, fits[grade.student], lab.settings)
        durable.write(pages / file_name(grade.student), page)


def class_csv(grades: list[Grade], fits: Mapping[str, OwnFits], settings: Settings) -> str:
    """A row a student; numbers that there are none of are empty."""
    rows = [_row(grade, fits[grade.student], settings) for grade in grades]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def class_html(grades: list[Grade], fits: Mapping[str, OwnFits], settings: Settings) -> str:
    """The class's table, with a link to each student's page."""
    parts = [
        Part(grade, own, grade.truth and own.true_a(grade.truth), file_name(grade.student))
        for grade in grades
        if (own := fits[grade.student])
    ]
    return render(
        "class.html.jinja",
        parts=parts,
        settings=settings,
        overview=class_summary(grades),
        methods=[*METHODS],
        ranked=any(grade.standing for grade in grades),
        by_law=any(grade.truth for grade in grades),
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


def _row(grade: Grade, fits: OwnFits, settings: Settings) -> dict[str, Any]:
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
        "true_a": truth and fits.true_a(truth),
        **{f"a_{one.method.replace(' ', '_')}": one.a for one in fits.exponents},
        **{f"a_{one.method.replace(' ', '_')}_identified": one.identified for one in fits.exponents},
    }


def _best_row(grade: Grade, settings: Settings) -> dict[str, Any]:
    """The answer key's figures, by column."""
    if grade.best is None:
        return dict.fromkeys(("loss", "n_params_non_embedding", "n_tokens", "lr", "batch_windows"))
    config = grade.best.config
    cost = settings.price(config)
    return {
        "loss": grade.best.loss,
        "n_params_non_embedding": cost.n_params_non_embedding,
        "n_tokens": config.total_train_tokens,
        "lr": config.optimizer_config.lr_scheduler.peak_value,
        "batch_windows": config.train_batch_size,
    }
