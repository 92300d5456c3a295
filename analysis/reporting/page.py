"""The page: one HTML file that needs nothing else and may fetch nothing.

Its Content-Security-Policy names the hash of each script and forbids every request, so what opens from a
USB stick is what opens from a server.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from isoflop.analysis.compute import FamilyRule
from isoflop.analysis.figures import FIGURES
from isoflop.analysis.figures.style import dark_colours, nats
from isoflop.analysis.provenance import origin_line
from isoflop.analysis.reporting.evidence import checks
from isoflop.analysis.reporting.formatting import NONE, advice, certificate, floor, misfit, number, upper
from isoflop.analysis.reporting.headline import cards, headline, subtitle
from isoflop.analysis.reporting.rounds import BY_METHOD, ROUNDS, rounds_of
from isoflop.analysis.reporting.tables import tables
from isoflop.analysis.reporting.text_table import TextTable

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

PAIRED = {"Compute spent": "Seconds per stage"}
"""Narrow tables that stand side by side."""
PLACED = {
    "The adaptive rounds": (ROUNDS, BY_METHOD),
    "Which law?": ("competition", "Which law predicts best?"),
    "How sure?": ("profiles", "Do the approaches agree?", "IsoFLOP minima"),
}
"""Sections of their own between the first figures and the numbers: figures and tables, in this order."""
TEXT_COLUMNS = {"remark", "why", "unit", "check", "cell_id", "verdict"}


def page(story: ReportData, figures: Mapping[str, go.Figure]) -> str:
    """The whole document. `figures`: by name, as in `isoflop.analysis.figures.FIGURES`."""
    drawn = json.dumps({name: json.loads(figure.to_json() or "{}") for name, figure in figures.items()})
    data = drawn.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    scripts = [get_plotlyjs().replace("</script", "<\\/script"), _asset("page.js")]
    policy = (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; font-src data:; "
        f"script-src {' '.join(map(_hash, scripts))}; base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f"<title>{html.escape(story.title)}</title>",
            f"<style>{_asset('page.css')}</style>",
            "</head>",
            "<body>",
            _header(story),
            "<main>",
            *_sections(story, figures),
            _conventions(story),
            "</main>",
            _footer(story),
            f'<script type="application/json" id="figures">{data}</script>',
            f'<script type="application/json" id="dark-colours">{json.dumps(dark_colours())}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def _asset(name: str) -> str:
    return resources.files("isoflop.analysis.reporting").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _header(story: ReportData) -> str:
    title = _with_powers(headline(story)).replace("p = ", "p&nbsp;=&nbsp;")
    boxes = "".join(
        f'<div class="card"><p class="label">{html.escape(card.label)}</p>'
        f'<p class="value">{html.escape(card.value)}</p>'
        f'<p class="detail">{html.escape(card.detail)}</p></div>'
        for card in cards(story)
    )
    return (
        f'<header><p class="kicker">{html.escape(story.title)}</p><h1>{title}</h1>'
        f'<p class="sub">{html.escape(subtitle(story))}</p><div class="cards">{boxes}</div>'
        f"{_warnings(story)}</header>"
    )


def _with_powers(text: str) -> str:
    """Escaped text with its ^ as superscripts."""
    return re.sub(r"\^(−?[\d.]+\d)", r"<sup>\1</sup>", html.escape(text))


def _warnings(story: ReportData) -> str:
    parabolas = story.parabolas.warnings if story.parabolas else ()
    rounds = rounds_of(story.sweep.summary)
    of_rounds = rounds.warnings if rounds else ()
    against = map(upper, checks(story))
    conventions = story.table.warnings  # how the table was read: said last
    lines = dict.fromkeys([*against, *story.fit.warnings, *of_rounds, *parabolas, *story.notes])
    lines = [*(line for line in lines if line not in conventions), *conventions]
    if not lines:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<div class="warn"><b>To keep in mind</b><ul>{items}</ul></div>'


def _sections(story: ReportData, figures: Mapping[str, go.Figure]) -> list[str]:
    """What was found, which law, how sure, the numbers: each where the story has something for it."""
    made = {table.title: table for table in tables(story)}
    set_apart = {name for names in PLACED.values() for name in names}
    numbered = {name: k for k, name in enumerate(sorted(figures, key=lambda n: n in set_apart), start=1)}
    parts = [_figure(story, figures, name, numbered[name]) for name in figures if name not in set_apart]
    for title, names in PLACED.items():
        inside = [_figure(story, figures, name, numbered[name]) for name in names if name in figures]
        inside += [_table(made.pop(name)) for name in names if name in made]
        if title == "How sure?":
            inside.insert(0, _sureness(story))
        if inside:
            parts += [f"<h2>{html.escape(title)}</h2>", *inside]
    return [*parts, "<h2>The numbers</h2>", *_rest(made)]


def _sureness(story: ReportData) -> str:
    """The certificate, the truth where it is known, and the runs to add where something is left open."""
    said = " ".join(filter(None, (certificate(story.fit), misfit(story.fit), floor(story))))
    text = f'<p class="lead">{html.escape(said)}</p>'
    if wanted := advice(story.fit):
        items = "".join(f"<li>{html.escape(line)}</li>" for line in wanted)
        text += f'<div class="warn"><b>What to run next</b><ul>{items}</ul></div>'
    return text


def _figure(story: ReportData, figures: Mapping[str, go.Figure], name: str, place: int) -> str:
    module = FIGURES[name]
    return (
        f'<figure id="{name}"><h3>{html.escape(module.TITLE)}</h3><div class="plot" id="plot-{name}" '
        f'style="min-height:{figures[name].layout.height or 400}px"></div>'
        f"<figcaption><b>Figure {place}.</b> {_with_powers(module.caption(story))}</figcaption></figure>"
    )


def _rest(made: dict[str, TextTable]) -> list[str]:
    parts = []
    while made:
        table = made.pop(next(iter(made)))
        partner = made.pop(PAIRED.get(table.title, ""), None)
        both = (
            _table(table) if partner is None else f'<div class="pair">{_table(table)}{_table(partner)}</div>'
        )
        parts.append(both)
    return parts


def _table(table: TextTable) -> str:
    text = [name in TEXT_COLUMNS for name in table.headers]
    head = "".join(_cell("th", name, wide) for name, wide in zip(table.headers, text, strict=True))
    rows = []
    for k, row in enumerate(table.rows):
        cells = "".join(_cell("td", value, wide) for value, wide in zip(row, text, strict=True))
        rows.append(f"<tr{' class=own' if k in table.own else ''}>{cells}</tr>")
    body = (
        f'<p class="caption">{html.escape(table.caption)}</p><div class="scroll" tabindex="0">'
        f'<table class="sortable">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    if table.folded:
        count = f"{len(table.rows)} row{'s' if len(table.rows) > 1 else ''}"
        return f"<details><summary>{html.escape(table.title)} ({count})</summary>{body}</details>"
    return f'<section class="table"><h3>{html.escape(table.title)}</h3>{body}</section>'


def _cell(tag: str, value: str | tuple[str, float], wide: bool) -> str:
    shown, data = (value, "") if isinstance(value, str) else (value[0], f' data-v="{value[1]:.17g}"')
    return f"<{tag}{data}{' class=text' if wide else ''}>{html.escape(shown)}</{tag}>"


def _conventions(story: ReportData) -> str:
    notes = story.fit.conventions
    cost = notes.flops_per_token
    rule = (
        f"6N (1 + {number(cost.k)} N^−{number(cost.s)}), fitted to the table's sizes"
        if isinstance(cost, FamilyRule)
        else ("6N" if cost.six_n else "interpolated between the table's own sizes")
    )
    seeds = notes.seed_sd_nats
    lines = {
        "Law": f"{story.fit.law}",
        "N counts": notes.count_meaning,
        "C counts": notes.flops_meaning,
        "FLOPs per token": rule,
        "Exponents": notes.exponents or NONE,
        "Loss": notes.loss,
        "Seed noise": NONE
        if seeds is None
        else f"{seeds:.4f}{nats(notes)}, pooled over {notes.seed_groups} repeated cells",
        "Residual spread": f"{100 * notes.residual_log_sd:.2f}% of the loss",
        "Predictive intervals": notes.predictive_noise,
        "Source": story.table.source,
        "Table": f"{len(story.table)} of {len(story.table.rows)} rows used; SHA-256 {story.table.sha256}",
    }
    data = story.sweep.summary.get("dataset")
    if isinstance(data, dict):
        lines["Data"] = ", ".join(str(data[key]) for key in ("name", "licence") if data.get(key))
    items = "".join(f"<dt>{html.escape(k)}</dt><dd>{_with_powers(str(v))}</dd>" for k, v in lines.items())
    return f"<h2>Conventions</h2><dl>{items}</dl>"


def _footer(story: ReportData) -> str:
    origin = f" {html.escape(said)}" if (said := origin_line(story.fit.provenance)) else ""
    return (
        "<footer>Methods: Hoffmann et al. (2022), Training Compute-Optimal Large Language Models, "
        "approaches 1 to 3. "
        "In the figures, drag to zoom and double-click to go back; click a legend entry to hide it, "
        "a table heading to "
        f"sort. This page is one file and fetches nothing.{origin}</footer>"
    )
