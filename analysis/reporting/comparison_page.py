"""The page of a comparison: which recipe is better, by how much, and where."""

from __future__ import annotations

from pathlib import Path

from isoflop.analysis.comparison.fits import Comparison, Line
from isoflop.analysis.comparison.multiplier import ComputeMultiplier
from isoflop.analysis.figures.figure_data import render
from isoflop.analysis.figures.multiplier import MultiplierCurve
from isoflop.analysis.provenance import origin_line
from isoflop.analysis.reporting.headline import Card
from isoflop.analysis.reporting.page import PageFigure, Section, document, page_figure
from isoflop.analysis.reporting.report import make_folder, save_figure, unwritable
from isoflop.analysis.reporting.tables import Cell, TextTable, flops
from isoflop.base.formatting import NONE, between, fixed, number, power, signed, upper

PAGE, FIGURE = "compare.html", "multiplier"


def write_comparisons(comparisons: tuple[Comparison, ...], folder: Path) -> Path:
    """Write one page of all of them, and their figures as PNG and PDF beside it; return the page.

    Raises `UserError` where the folder can't be written.
    """
    make_folder(folder)
    sections = []
    try:
        for k, each in enumerate(comparisons):
            figures: list[PageFigure] = []
            if each.multiplier:
                name = FIGURE if len(comparisons) == 1 else f"{FIGURE}-{k + 1}"
                curve = MultiplierCurve(each.multiplier)
                wide = render(curve)
                figures.append(page_figure(name, k + 1, curve, wide))
                save_figure(wide[0], folder / "figures" / name)
            sections.append(_section(each, figures, len(comparisons) > 1))
        html = folder / PAGE
        html.write_text(_page(comparisons, sections), encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from error
    return html


def _page(comparisons: tuple[Comparison, ...], sections: list[Section]) -> str:
    first = comparisons[0]
    notes, alone = first.a.conventions, len(comparisons) == 1
    names = dict.fromkeys(name for each in comparisons for name in each.names)
    return document(
        sections,
        title=" against ".join(names),
        headline=upper(_verdict(first)) + "." if alone else "Which is better, and at what compute?",
        subtitle=(
            "The compute multiplier of B against A: how many times A's FLOPs B needs for A's "
            f"{notes.quantity}, along both frontiers of least {notes.quantity}."
        ),
        cards=_cards(first.multiplier) if alone and first.multiplier else [],
        warnings=list(dict.fromkeys(line for each in comparisons for line in each.warnings)),
        next_runs=[],
        conventions={
            "A": first.names[0],
            "B": ", ".join(each.names[1] for each in comparisons),
            "C counts": notes.flops_meaning,
            "Loss": notes.loss,
            "Frontiers": first.multiplier.method if first.multiplier else NONE,
            "Intervals": "both fits redrawn, by trunk where runs share trunks; redraws are paired at random",
        },
        origin=origin_line(first.a.provenance),
    )


def _verdict(comparison: Comparison) -> str:
    found = comparison.multiplier
    return found.verdict if found else f"no compute multiplier: {comparison.no_multiplier}"


def _cards(found: ComputeMultiplier) -> list[Card]:
    middle, (low, high) = found.middle, found.flops_range
    level = f"{found.level:.0%} " if found.level else ""
    return [
        Card(
            "Compute multiplier of B",
            number(middle.multiplier),
            f"{level}{between(middle.interval)} at {power(middle.flops)} FLOPs",
        ),
        Card(
            "Its slope, d log / d log C",
            signed(found.slope, 3),
            f"{level}{between(found.slope_interval)}; {found.trend.partition(' (')[0]}",
        ),
        Card("Range of A's FLOPs", f"{power(low)} to {power(high)}", "where both have runs for the loss"),
    ]


def _section(comparison: Comparison, figures: list[PageFigure], titled: bool) -> Section:
    items = (*figures, *([_multiplier_table(comparison.multiplier)] if comparison.multiplier else []))
    title = f"{comparison.names[1]} against {comparison.names[0]}" if titled else ""
    lead = f"{upper(_verdict(comparison))}." if titled or not comparison.multiplier else ""
    return Section(title, lead, (*items, _parameter_table(comparison)))


def _multiplier_table(found: ComputeMultiplier) -> TextTable:
    rows = tuple(
        (
            flops(p.flops), flops(p.flops_b), number(p.multiplier), between(p.interval),
            fixed(p.loss_a), fixed(p.loss_b), signed(p.difference), between(p.difference_interval),
        )
        for p in found.shown
    )  # fmt: skip
    level = f"{found.level:.0%} interval" if found.level else "interval"
    headers = (
        "A's FLOPs", "B's FLOPs", "multiplier", level, f"A's {found.quantity}", f"B's {found.quantity}",
        "B − A", f"{level} of B − A",
    )  # fmt: skip
    caption = (
        f"B's FLOPs: what B needs for the {found.quantity} that A has at its own. B's {found.quantity} and "
        f"B − A ({found.unit}): at A's FLOPs."
    )
    return TextTable("The multiplier over compute", caption, headers, rows)


def _parameter_table(comparison: Comparison) -> TextTable:
    rows = tuple(_row(line) for line in comparison.lines)
    caption = "Parameters and exponents of the two fits, each with its interval."
    return TextTable("The two fits", caption, ("", "A", "interval", "B", "interval", "overlap"), rows)


def _row(line: Line) -> tuple[Cell, ...]:
    overlap = {True: "yes", False: "no", None: NONE}[line.overlap]
    spans = between(line.a_interval), between(line.b_interval)
    return line.name, number(line.a), spans[0], number(line.b), spans[1], overlap
