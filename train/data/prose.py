"""English prose out of pages: paragraphs of HTML and of plain text, and which of them read as sentences."""

from __future__ import annotations

import re
from html.parser import HTMLParser

SHORTEST_PARAGRAPH = 40
COMMON = """
a all an and are as at be but by can do for from has have if in is it its may not of on one or that the their
then they this to used was were when which will with you
"""
COMMON_WORDS = frozenset(COMMON.split())
LEAST_COMMON = 0.12
"""Share of the common words in a paragraph: English has .3 to .5, code and other languages hardly any."""
LEAST_LETTERS = 0.72
LEAST_LETTERS_OF_ENTRY = 0.6
"""Share of letters and spaces among a paragraph's characters; a dictionary's has accents and brackets."""

WORD = re.compile(r"[a-z']+")
LETTERS = re.compile(r"[A-Za-z ]")


def is_prose(paragraph: str, in_dictionary: bool = False) -> bool:
    """Whether a paragraph (one line) reads as English sentences, or as a dictionary's entry."""
    if len(paragraph) < SHORTEST_PARAGRAPH:
        return False
    letters = len(LETTERS.findall(paragraph))
    if in_dictionary:
        return letters >= LEAST_LETTERS_OF_ENTRY * len(paragraph)
    if letters < LEAST_LETTERS * len(paragraph):
        return False
    words = WORD.findall(paragraph.lower())
    common = [word for word in words if word in COMMON_WORDS]
    return len(set(common)) >= 2 and len(common) >= LEAST_COMMON * len(words)


NOT_READ = "script style head nav header footer pre form select button svg math noscript"
SKIPPED = frozenset(NOT_READ.split())
"""Tags whose content is no prose."""


class Paragraphs(HTMLParser):
    """Collects a page's paragraphs, the text between any two tags: feed it no tags within sentences."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[str] = []
        self._text: list[str] = []
        self._skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.end_paragraph()
        if tag in SKIPPED:
            self._skipped.append(tag)
        elif tag == "body":  # of a page that closes no head
            self._skipped.clear()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.end_paragraph()

    def handle_endtag(self, tag: str) -> None:
        self.end_paragraph()
        if tag in self._skipped:
            while self._skipped.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self._text.append(data)

    def end_paragraph(self) -> None:
        """Files what was read since the last one ended."""
        if self._text:
            if text := _one_line("".join(self._text)):
                self.paragraphs.append(text)
            self._text.clear()


INLINE = re.compile(
    r"</?(?:a|abbr|acronym|b|bdi|bdo|big|cite|code|del|dfn|em|font|i|img|ins|kbd|label|mark|q|s|samp|small|span"
    r"|strike|strong|sub|sup|tt|u|var|wbr)(?=[\s/>])(?:[^>\"']|\"[^\"]*\"|'[^']*')*>",
    re.IGNORECASE,
)


def html_paragraphs(page: str) -> list[str]:
    """The paragraphs of an HTML page, each as one line."""
    parser = Paragraphs()
    parser.feed(INLINE.sub("", page))  # most of the tags, and the parser is slow
    parser.close()
    parser.end_paragraph()
    return parser.paragraphs


def text_paragraphs(text: str, suffix: str) -> list[str]:
    """The paragraphs of plain text, each as one line; in a dictionary each entry's headword begins one."""
    if suffix == ".dict":
        text = re.sub(r"\n(?=\S)", "\n\n", text)
    blocks = re.split(r"\n\s*\n", text)
    if suffix == ".pod":
        blocks = [
            re.sub(r"[A-Z]<+ ?(.*?) ?>+", r"\1", b)
            for b in blocks
            if b and not b[0].isspace() and b[0] != "="
        ]
    if suffix == ".rst":
        blocks = [block for block in blocks if not block.lstrip().startswith((".. ", ":"))]
    return [line for block in blocks if (line := _one_line(block))]


def _one_line(text: str) -> str:
    return " ".join(text.replace("¶", "").replace("\0", "").split())
