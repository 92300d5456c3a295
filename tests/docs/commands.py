"""The commands that README and docs show, as they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
COMMAND = re.compile(r"(?P<variables>(?:[A-Z_]+=\S+ )*)(?P<command>(?:isoflop|make|python -m) .+)")
DESCRIPTION = re.compile(r"\s{2,}.*| #.*")
"""What may stand behind a command: words after two spaces, or a comment."""
BLOCK = re.compile(r"^(?: {4,}.*\n)+|^```(?:bash|sh|console)\n(?:.*\n)*?```$", re.MULTILINE)

EXAMPLE = re.compile(r"^```(?:python|toml)\n# (\w+\.(?:py|toml))\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """What stands in a page. `line`: where, about."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def commands(page: Path) -> list[Command]:
    """Those of a page's indented and fenced blocks, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start()) + 1
        for number, line in enumerate(re.sub(r"\\\n\s*", "", block[0]).split("\n"), first):
            plain = line.strip().removeprefix("$ ")
            if COMMAND.fullmatch(plain):
                found.append(Command(page.name, number, DESCRIPTION.sub("", plain).strip()))
    return found


def examples() -> dict[str, str]:
    """The files that pages show, by name: blocks of Python or TOML whose first line is `# NAME.py`."""
    texts = (page.read_text(encoding="utf-8") for page in PAGES)
    return {found[1]: found[2] for text in texts for found in EXAMPLE.finditer(text)}
