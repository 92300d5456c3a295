"""A figure as SVG within a page: text as text, colours as CSS variables, words at its markers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from xml.etree import ElementTree

import matplotlib

from isoflop.analysis.figures.figure_data import Drawn, FigureData
from isoflop.analysis.figures.style import RC, dark_colours

PIXELS = 112
"""CSS pixels an inch: 9 point letters become as large as the page's own small print."""
COLOUR = re.compile(r"#([0-9a-f]{6})\b")
FONT = re.compile(r" font-family: [^;]*;")


def inline_svg(data: FigureData, drawn: Drawn, name: str) -> str:
    """Return a figure that is drawn already as an `<svg>` element. `name` salts the ids within it, so that
    several stand in one page.
    """
    figure, hover = drawn
    for k, (artist, _) in enumerate(hover):
        artist.set_gid(f"hover{k}")
    text = io.StringIO()
    with matplotlib.rc_context({**RC, "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    figure.set_layout_engine("none")  # laid out by the first file, and costly to do again for others
    svg = ElementTree.fromstring(text.getvalue())
    for element in svg.iter():
        element.tag = element.tag.partition("}")[2]  # in HTML the namespace goes without saying
        if (target := element.attrib.pop("{http://www.w3.org/1999/xlink}href", None)) is not None:
            element.set("href", target)
    for k, (_, words) in enumerate(hover):
        _add_titles(svg, f"hover{k}", words)
    _tidy(svg)
    width, height = figure.get_size_inches() * PIXELS
    svg.attrib = {
        "viewBox": svg.get("viewBox", ""),
        "width": f"{width:.0f}",
        "height": f"{height:.0f}",
        "role": "img",
        # Not a title element: a browser would show that wherever the pointer rests.
        "aria-label": f"{data.title}. {data.description}",
    }
    markup = FONT.sub("", ElementTree.tostring(svg, encoding="unicode"))
    return COLOUR.sub(r"var(--c\1)", markup)


def colour_variables(svgs: Iterable[str], dark: bool = False) -> dict[str, str]:
    """The variables that these SVGs name and their values, for a light or a dark screen."""
    names = sorted({name for svg in svgs for name in re.findall(r"var\(--(c[0-9a-f]{6})\)", svg)})
    return {name: dark_colours()[f"#{name[1:]}"] if dark else f"#{name[1:]}" for name in names}


def _add_titles(svg: ElementTree.Element, group: str, words: list[str]) -> None:
    """Give each marker of a group its words, which a browser shows under the pointer."""
    found = svg.find(f".//g[@id='{group}']")
    markers = [] if found is None else found.findall(".//use")
    for marker, said in zip(markers, words, strict=True):
        ElementTree.SubElement(marker, "title").text = said


def _tidy(svg: ElementTree.Element) -> None:
    """Remove what a page has no use for: metadata, a style for every element, ids that nothing refers to."""
    for parent in list(svg.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style"):
                parent.remove(child)
        parent.tail = None
        if not (parent.text or "").strip():
            parent.text = None
    text = ElementTree.tostring(svg, encoding="unicode")
    wanted = set(re.findall(r'(?:href="|url\()#([^")]*)', text))
    for element in svg.iter():
        if element.get("id") not in wanted:
            element.attrib.pop("id", None)
        decimals = 2 if "id" in element.attrib else 1  # a marker is small; a tenth of a point is no pixel
        for name in {"d", "x", "y", "transform"} & set(element.attrib):
            text = re.sub(rf"(\.\d{{{decimals}}})\d+", r"\1", element.attrib[name])
            element.set(name, re.sub(r" ?\n", "", text))
