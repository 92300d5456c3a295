"""One student's page: what was handed in, what would have been better, and what the own runs say."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from typing import Any

from markupsafe import Markup

from isoflop.base.formatting import pluralize
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.grading.grade import FinalRun, Grade
from isoflop.labs.grading.templates import render
from isoflop.labs.own_fits import OwnFits
from isoflop.labs.settings import Settings

PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
"""Names that are file names as they stand, on any system."""
NEGLIGIBLE = 5e-5
"""Nats below which a choice cost nothing that four decimals show."""


@dataclass(frozen=True)
class Column:
    """A config as the page shows it: figures by name."""

    name: str
    rows: dict[str, str]


@dataclass(frozen=True)
class Cost:
    """A choice, what it lost in nats, and that as a share of the dearest, in per cent."""

    name: str
    nats: float
    percent: float


@dataclass(frozen=True)
class Plot:
    """A figure as SVG, for a wide screen and for a telephone."""

    wide: Markup
    narrow: Markup
    caption: str


def file_name(student: str) -> str:
    """The page's file: the name where it is plain, else its letters and a hash, so that no two meet."""
    if PLAIN.fullmatch(student):
        return f"{student}.html"
    kept = re.sub(r"[^a-z0-9]+", "-", student.lower()).strip("-")[:40] or "student"
    return f"{kept}-{hashlib.sha256(student.encode()).hexdigest()[:10]}.html"


def student_html(grade: Grade, fits: OwnFits, settings: Settings) -> str:
    """The page, which is one file."""
    from isoflop.analysis.figures.svg import colour_variables

    figure = _plot(fits, file_name(grade.student))
    drawn = [] if figure is None else [figure.wide, figure.narrow]
    return render(
        "student.html.jinja",
        grade=grade,
        fits=fits,
        settings=settings,
        true_a=grade.truth and fits.true_a(grade.truth),
        headline=_headline(grade),
        choices=_choices(grade, settings),
        costs=_costs(grade.run),
        prediction=_prediction(grade),
        figure=figure,
        why_no_figure=_why_no_figure(fits),
        warnings=fits.warnings,
        json=_json(grade),
        light=colour_variables(drawn),
        dark=colour_variables(drawn, dark=True),
    )


def _headline(grade: Grade) -> str:
    if grade.final is None:
        return "No final submission: there is nothing to grade."
    if grade.run is None or grade.run.loss is None or grade.run.regret is None:
        return f"The final run has no loss: {grade.run.note if grade.run else 'it was not trained'}."
    place = f"Rank {grade.standing.rank}. " if grade.standing else ""
    error = grade.prediction_error or 0.0
    side = "too high" if error > 0 else "too low"
    return (
        f"{place}Regret {grade.run.regret:.4f} nats; the predicted loss was {abs(error):.4f} {side} "
        f"({grade.final.predicted_final_loss:.4f} for {grade.run.loss:.4f})."
    )


def _choices(grade: Grade, settings: Settings) -> list[Column]:
    """What was handed in beside the best."""
    columns = []
    if grade.run is not None:
        columns.append(Column("Handed in", _figures(grade.run.config, settings, _expected(grade))))
    if grade.best is not None:
        columns.append(Column("Best", _figures(grade.best.config, settings, grade.best.loss)))
    return columns


def _expected(grade: Grade) -> float | None:
    """The loss to expect of the final run, without noise."""
    if grade.run is None or grade.run.regret is None or grade.best is None:
        return None
    return grade.best.loss + grade.run.regret


def _figures(config: TrainingConfig, settings: Settings, loss: float | None) -> dict[str, str]:
    costs = settings.price(config)
    shape, optimizer = config.architecture_config, config.optimizer_config
    schedule = optimizer.lr_scheduler
    n_params, n_tokens = costs.n_params_non_embedding, config.total_train_tokens
    return {
        "parameters without the embedding": f"{n_params:.4g}",
        "tokens": f"{n_tokens:.4g}",
        "tokens per parameter": f"{n_tokens / n_params:.3g}",
        "layers × width": f"{shape.num_hidden_layers} × {shape.hidden_size}",
        "feed-forward width": f"{shape.intermediate_size}",
        "batch, tokens": f"{config.train_batch_size * settings.windows.context_length:,}",
        "peak learning rate": f"{schedule.peak_value:.3g}",
        "last rate over the peak": f"{schedule.final_lr_frac:.2g}",
        "price, seconds": f"{costs.seconds:,.0f}",
        "loss to expect": "–" if loss is None else f"{loss:.4f}",
    }


def _costs(run: FinalRun | None) -> list[Cost]:
    """The choices that cost or gained something, the dearest first."""
    if run is None:
        return []
    found = {name: nats for name, nats in run.losses_by_choice.items() if abs(nats) > NEGLIGIBLE}
    dearest = max(map(abs, found.values()), default=1.0)
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return [Cost(name, nats, 100 * max(nats, 0.0) / dearest) for name, nats in ordered]


def _prediction(grade: Grade) -> list[str]:
    """How the predicted loss and the interval did, a sentence each."""
    lines = []
    if grade.prediction_error is not None and grade.final is not None:
        off = f"Predicted {grade.final.predicted_final_loss:.4f}: off by {grade.prediction_error:+.4f} nats"
        if grade.truth is not None:
            times = abs(grade.prediction_error) / grade.truth.seed_noise
            off += f", {times:.1f} times the standard deviation between seeds, {grade.truth.seed_noise:.4f}"
        lines.append(f"{off}.")
    if grade.interval is not None and grade.interval_loss is not None:
        low, high, level = grade.interval.low, grade.interval.high, grade.interval.level
        held = "held" if grade.covered else "missed"
        lines.append(
            f"The interval from {low:.4f} to {high:.4f}, stated at {level:.0%}, {held} the loss "
            f"{grade.interval_loss:.4f}: interval score {grade.interval_score:.4f}, the lower the better "
            f"(its width alone is {high - low:.4f})."
        )
    elif lines:
        lines.append("No interval was handed in, so that nothing says how sure the prediction was.")
    return lines


def _plot(fits: OwnFits, name: str) -> Plot | None:
    if fits.table is None or not fits.budgets:
        return None
    from isoflop.analysis.figures.figure_data import render as draw
    from isoflop.analysis.figures.isoflop import IsoflopCurves
    from isoflop.analysis.figures.svg import inline_svg

    data = IsoflopCurves.through(fits.table, fits.budgets)
    wide = inline_svg(data, draw(data), name)
    narrow = inline_svg(data, draw(data, narrow=True), f"{name} narrow")
    return Plot(Markup(wide), Markup(narrow), data.caption)


def _why_no_figure(fits: OwnFits) -> str:
    if not fits.n_completed:
        return "No run completed: there is nothing to draw."
    return (
        f"{pluralize(fits.n_completed, 'completed run')} without an IsoFLOP budget: a curve takes three "
        "sizes or more at nearly equal FLOPs."
    )


def _json(grade: Grade) -> dict[str, Any]:
    """The configs in full, and the law."""
    return {
        "submitted": grade.run and grade.run.config.model_dump(mode="json"),
        "best": grade.best and grade.best.config.model_dump(mode="json"),
        "law": grade.truth and asdict(grade.truth),
    }
