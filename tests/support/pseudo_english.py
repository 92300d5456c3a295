"""Text that a tiny model can learn something of, made from a seed."""

from __future__ import annotations

import random

SYLLABLES = (
    "the",
    "an",
    "to",
    "ri",
    "so",
    "ne",
    "ka",
    "lo",
    "mi",
    "ter",
    "ing",
    "ed",
    "al",
    "be",
    "con",
    "de",
)


def pseudo_english(n_bytes: int, seed: int = 0) -> str:
    """Paragraphs of about 60 bytes, `n_bytes` in all (within a paragraph), words repeating as Zipf says."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 3))) for _ in range(400)]
    frequencies = [1 / (rank + 1) for rank in range(len(words))]
    paragraphs: list[str] = []
    size = 0
    while size < n_bytes:
        chosen = draw.choices(words, frequencies, k=draw.randint(6, 14))
        paragraphs.append(" ".join(chosen).capitalize() + ".")
        size += len(paragraphs[-1]) + 2
    return "\n\n".join(paragraphs)
