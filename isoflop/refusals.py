"""What tyro says of wrong arguments, as one plain line. It prints a box: there is nothing else to ask it."""

from __future__ import annotations

import re
from collections.abc import Sequence

KINDS = {("FLOAT",): "a number", ("INT",): "a whole number", ("INT", "FLOAT"): "a whole number and a number"}
"""What an option takes, by the types that its help names."""


def refusal(box: str) -> str:
    """The line: the option, what was given, and what it takes."""
    paragraphs = _paragraphs(box)
    text = " ".join(paragraphs[0]) if paragraphs else "wrong arguments"
    if found := re.match(r"Error parsing (--[\w.-]+): (.*)", text):
        return _wrong_value(found[1], found[2], [line for lines in paragraphs for line in lines])
    if found := re.match(r"invalid choice '(.*)' for argument '(.+)'\. Expected one of \((.*)\)", text):
        *others, last = re.findall(r"'([^']*)'", found[3])
        known = f"{', '.join(others)} or {last}" if others else last
        return f"{found[2]} {found[1]}: choose {known}"
    if found := re.match(r"Missing value for argument '(.+?)'", text):
        return f"{found[1]}: its value is missing"
    if found := re.match(r"Unrecognized options: (.*)", text):
        return _unknown(found[1].split(", "), paragraphs[1:])
    if text.startswith("Missing from"):
        return _missing(paragraphs[0][1:])
    return re.sub(r"^Error parsing \w+: ", "", text).rstrip(".")


def _paragraphs(box: str) -> list[list[str]]:
    """The lines between the box's rules."""
    found: list[list[str]] = [[]]
    for line in box.splitlines():
        text = re.sub(r"^[│|]\s?|\s*[│|]$", "", line).strip()
        if re.match(r"[╭╰─]|\+-", text):
            found.append([])
        elif text:
            found[-1].append(text)
    return [lines for lines in found if lines]


def _wrong_value(option: str, why: str, lines: Sequence[str]) -> str:
    takes = next((line for line in lines if line.startswith(f"{option} ")), "")
    types = tuple(dict.fromkeys(re.findall(r"FLOAT|INT", takes)))
    given = re.findall(r"(?:from|arguments:) \[(.*?)\]", why) or re.findall(r"'[^']*'", why)
    if types not in KINDS or not given:
        return f"{option}: {why}".rstrip(".")
    several = " (several may be given)" if "..." in takes else ""
    values = " ".join(re.findall(r"'([^']*)'", given[-1]))
    return f"{option} {values}: must be {KINDS[types]}{several}"


def _unknown(words: Sequence[str], rest: Sequence[Sequence[str]]) -> str:
    options = [word for word in words if word.startswith("-")]
    if not options:
        return f"unexpected {words[0]!r}"
    near = re.search(r"Perhaps you meant: (--[\w.-]+)", " ".join(line for lines in rest for line in lines))
    return f"unknown option {', '.join(options)}{f' (perhaps {near[1]})' if near else ''}"


def _missing(lines: Sequence[str]) -> str:
    """Of an option its name is enough; of a positional argument it's its help that says what it is."""
    names = []
    for i, line in enumerate(lines):
        if line.startswith("--"):
            names.append(line.split()[0])
        elif re.fullmatch(r"[A-Z|{}\[\] .]+", line):
            about = lines[i + 1].removesuffix(" (required)").rstrip(".")
            names.append(about[0].lower() + about[1:])
    return f"missing: {', '.join(names)}"
