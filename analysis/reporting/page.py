"""The page: its sections in order, and what its template is filled with."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup, escape

from isoflop.analysis.compute import FamilyRule
from isoflop.analysis.figures.figure_data import Drawn, FigureData, render
from isoflop.analysis.figures.style import ACCENT, DARK, INK, PAPER, SOFT
from isoflop.analysis.figures.svg import colour_variables, inline_svg
from isoflop.analysis.provenance import origin_line
from isoflop.analysis.reporting import comparison_tables, law_tables, rounds, tables, training_plan
from isoflop.analysis.reporting.evidence import certificate, checks, floor, misfit, next_run_lines
from isoflop.analysis.reporting.headline import cards, headline, subtitle
from isoflop.base.formatting import NONE, number, upper

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

HERE = Path(__file__).parent
MakesTable = Callable[["ReportData"], tables.TextTable]
SECTIONS: dict[str, tuple[str | MakesTable, ...]] = {
    "": ("isoflop", "axis", "allocation", "heldout", "surface", "residuals", "curves", "tuning"),
    "What the kept models can do": ("positions", "quantization", "pruning"),
    "The adaptive rounds": (rounds.rounds_table, rounds.methods_table),
    "Which law?": ("competition", comparison_tables.competition_table),
    "How sure?": ("rolling", "profiles", comparison_tables.agreement_table, comparison_tables.minima_table),
    training_plan.TITLE: (training_plan.plan_table,),
    "The numbers": (
        law_tables.fit_table,
        law_tables.conventions_table,
        law_tables.approaches_table,
        law_tables.sensitivity_table,
        law_tables.heldout_table,
        tables.rates_table,
        tables.checks_table,
        tables.cost_table,
        tables.stages_table,
        tables.runs_table,
        tables.excluded_table,
    ),
}
"""What stands under each heading: figures by name, and tables; those with nothing to show are left out."""
TEXT_COLUMNS = frozenset({"remark", "why", "unit", "check", "cell_id", "verdict"})
CHROME = {"ink": INK, "soft": SOFT, "accent": ACCENT, "paper": PAPER}
"""Colours that the page shares with its figures."""


@dataclass(frozen=True)
class PageFigure:
    """A figure in the page: drawn for a wide screen and for a telephone."""

    name: str
    number: int
    figure: FigureData
    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class Section:
    """A heading (empty for the first), a sentence, and what stands below."""

    title: str
    lead: str
    items: tuple[PageFigure | tables.TextTable, ...]


def page(data: ReportData, wide: Mapping[str, Drawn]) -> str:
    """Return the whole document. `wide`: every figure of `data`, as it is drawn for paper."""
    return document(
        _sections(data, wide),
        title=data.title,
        headline=headline(data).replace("p = ", "p\u00a0=\u00a0"),
        subtitle=subtitle(data),
        cards=cards(data),
        warnings=_warnings(data),
        next_runs=next_run_lines(data.fit),
        conventions=_conventions(data),
        origin=origin_line(data.fit.provenance),
    )


def document(sections: Sequence[Section], **head: Any) -> str:
    """A page of these sections; `head`: what its template takes besides, as `page` gives it."""
    figures = [item for section in sections for item in section.items if isinstance(item, PageFigure)]
    drawn = [svg for figure in figures for svg in (figure.wide, figure.narrow)]
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        **head,
        sections=sections,
        text_columns=TEXT_COLUMNS,
        light_colours=CHROME | colour_variables(drawn),
        dark_colours={name: DARK[colour] for name, colour in CHROME.items()}
        | colour_variables(drawn, dark=True),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["powers"] = _with_powers
    environment.tests["figure"] = lambda item: isinstance(item, PageFigure)
    return environment.get_template("page.html.jinja")


def _with_powers(text: str) -> Markup:
    """Escaped text with its ^ as superscripts."""
    raised = re.sub(r"\^[−-]?[\d.]*\d", lambda power: f"<sup>{power[0][1:]}</sup>", str(escape(text)))
    return Markup(raised.replace("<sup>-", "<sup>−"))


def _sections(data: ReportData, wide: Mapping[str, Drawn]) -> list[Section]:
    """Every section that has something to show, its figures numbered in the order of the page."""
    found, count = [], 0
    for title, names in SECTIONS.items():
        items: list[PageFigure | tables.TextTable] = []
        for item in names:
            if callable(item):
                table = item(data)
                items += [table] if table.rows else []
            elif item in data.figures:
                count += 1
                items.append(page_figure(item, count, data.figures[item], wide[item]))
        sure = (certificate(data.fit), misfit(data.fit), floor(data)) if title == "How sure?" else ()
        if items or sure:
            found.append(Section(title, " ".join(filter(None, sure)), tuple(items)))
    return found


def page_figure(name: str, number: int, figure: FigureData, wide: Drawn) -> PageFigure:
    """A figure for the page. `wide`: as it is drawn for paper."""
    svgs = inline_svg(figure, wide, name), inline_svg(figure, render(figure, narrow=True), f"{name} narrow")
    return PageFigure(name, number, figure, *map(Markup, svgs))


def all_tables(data: ReportData) -> list[tables.TextTable]:
    """Every table of the page, in its order."""
    made = [item(data) for names in SECTIONS.values() for item in names if callable(item)]
    return [table for table in made if table.rows]


def _warnings(data: ReportData) -> list[str]:
    """What to keep in mind, each once; how the table was read is said last."""
    found = rounds.rounds_of(data.sweep.summary)
    of_rounds = found.warnings if found else ()
    parabolas = data.parabolas.warnings if data.parabolas else ()
    lines = [*map(upper, checks(data)), *data.fit.warnings, *of_rounds, *parabolas, *data.notes]
    of_table = data.table.warnings
    return [*(line for line in dict.fromkeys(lines) if line not in of_table), *of_table]


def _conventions(data: ReportData) -> dict[str, str]:
    """What the numbers are counted in and rest on."""
    notes = data.fit.conventions
    cost, noise = notes.flops_per_token, data.fit.noise
    rule = "6N" if cost.six_n else "interpolated between the table's own sizes"
    if isinstance(cost, FamilyRule):
        rule = f"6N (1 + {number(cost.k)} N^−{number(cost.s)}), fitted to the table's sizes"
    lines = {
        "Law": data.fit.law or NONE,
        "N counts": notes.count_meaning,
        "C counts": notes.flops_meaning,
        "FLOPs per token": rule,
        "Exponents": notes.exponents or NONE,
        "Loss": notes.loss,
        "Seed noise": NONE if noise is None else f"{noise.nats:.4f}{notes.short_unit}: {noise.description}",
        "Residual spread": f"{notes.residual_log_sd:.2%} of the loss",
        "Predictive intervals": notes.predictive_noise,
        "Source": data.table.source,
        "Table": f"{len(data.table)} of {len(data.table.rows)} rows used; SHA-256 {data.table.sha256}",
    }
    dataset = data.sweep.summary.get("dataset")
    if isinstance(dataset, dict):
        lines["Data"] = ", ".join(str(dataset[key]) for key in ("name", "licence") if dataset.get(key))
    return lines
