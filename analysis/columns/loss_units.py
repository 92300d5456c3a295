"""Units of a loss that a column's name states: perplexity, bits per byte, nats per token and the like."""

from __future__ import annotations

import math

from isoflop.analysis.columns.units import Named, words_of

TEXT = {
    "token": "token", "tokens": "token", "tok": "token", "byte": "byte", "bytes": "byte",
    "char": "character", "chars": "character", "character": "character", "characters": "character",
    "word": "word", "words": "word",
}  # fmt: skip
"""What a loss may be per, by the words for it."""
PERPLEXITY = ("perplexity", "perplexities", "ppl", "pplx")
BITS_PER = {"bpb": "byte", "bpc": "character", "bpt": "token", "bpw": "word"}
BASES = {"bit": math.log(2.0), "bits": math.log(2.0), "nat": 1.0, "nats": 1.0}
LOGARITHMS = {"log": 1.0, "ln": 1.0, "log2": math.log(2.0), "log10": math.log(10.0)}
"""Before a perplexity: the loss itself, to this base."""


def split_loss_unit(name: str) -> Named:
    """The key and the unit of a loss's name: `val_bpb`, `eval/loss_ppl`, `Loss (nats/byte)`."""
    words = words_of(name)
    per = next((TEXT[word] for word in words if word in TEXT), None)
    for place, word in enumerate(words):
        if (short := next((key for key in BITS_PER if word.endswith(key)), None)) and not word[:-3].isdigit():
            rest = [*words[:place], word.removesuffix(short), *words[place + 1 :]]
            text = BITS_PER[short]
            return Named("".join(rest), BASES["bits"], f"bits per {text}", f"nats per {text}")
        if ending := next((key for key in PERPLEXITY if word.endswith(key)), None):
            return _perplexity([*words[:place], word.removesuffix(ending), *words[place + 1 :]], per)
        if word in BASES and (per or "loss" in words or _is_entropy(words)):
            base = "bits" if word.startswith("bit") else "nats"
            stated = f"{base} per {per}" if per else base
            return Named(_key(words, word), BASES[word], stated, f"nats per {per}" if per else None)
    return Named("".join(words))


def _perplexity(rest: list[str], per: str | None) -> Named:
    """The unit of a perplexity, or of its logarithm, whose other words are `rest`."""
    becomes = f"nats per {per or 'token'}"
    base = next((word for word in rest if word in LOGARITHMS), None)
    if base is None:
        stated = f"perplexity per {per}" if per else "perplexity"
        return Named(_key(rest), 1.0, stated, becomes, logarithm=True)
    return Named(_key(rest, base), LOGARITHMS[base], f"{base} of a perplexity", becomes)


def _is_entropy(words: list[str]) -> bool:
    return bool({"entropy", "crossentropy", "ce", "nll", "xent"} & set(words))


def _key(words: list[str], *units: str) -> str:
    return "".join(word for word in words if word not in (*units, *TEXT, "per", "in"))
