"""Units that a column's name states: `params_M`, `tokens (billions)`, `total_gflops`, `PF-days`.

Only a name is believed, never a magnitude: a table of tiny models is not a table in millions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

LETTERS = {"k": 1e3, "m": 1e6, "b": 1e9, "bn": 1e9, "t": 1e12, "tn": 1e12}
"""Only at a name's end: `params_M` is in millions, `M_params` might be anything."""
SPELLED = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
PREFIXES = {
    "g": 1e9, "giga": 1e9, "t": 1e12, "tera": 1e12, "p": 1e15, "peta": 1e15, "e": 1e18, "exa": 1e18,
    "z": 1e21, "zetta": 1e21,
}  # fmt: skip
PF_DAY = 8.64e19
"""FLOPs in a petaFLOP/s-day, the unit of Kaplan et al. (2020)."""
COUNTED = ("n_params", "n_tokens", "n_tokens_unique")
FILLERS = ("in", "of")

_FLOPS = re.compile(f"({'|'.join(PREFIXES)})(flops?)")
_PF_DAYS = re.compile(r"(?:pf|pflops?|petaflops?)(?:s?days?)")
_POWER = re.compile(r"1e\d{1,2}")


@dataclass(frozen=True)
class Named:
    """What a column's name says. `key`: its words run together in lower case, without the unit; `unit`: the
    unit as stated, or None; `scale`: what values are multiplied by. Of a loss `becomes` is its unit after
    conversion, None where the name does not say; `logarithm`: the natural one is taken first.
    """

    key: str
    scale: float = 1.0
    unit: str | None = None
    becomes: str | None = None
    logarithm: bool = False

    @property
    def converts(self) -> bool:
        """Whether values change."""
        return self.logarithm or self.scale != 1.0

    def convert(self, values: np.ndarray) -> np.ndarray:
        """The values in single parameters, tokens and FLOPs, a loss in nats; NaN for a logarithm that is
        none."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # refused where they are used
            return self.scale * (np.log(values) if self.logarithm else values)


def key_of(name: str) -> str:
    """The name in lower case without spaces, underscores, hyphens and the like."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def words_of(name: str) -> list[str]:
    """The lower-case words and numbers of a name; `valBitsPerByte` has four."""
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def split_unit(name: str, quantity: str) -> Named:
    """The name's key and unit, where `quantity` (a column of the run table) is one that has units."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    if quantity not in (*COUNTED, "flops") or len(words) == 0:
        return Named(key_of(name))
    if quantity == "flops" and (days := _PF_DAYS.search("".join(words))):
        rest = "".join(words).replace(days[0], "")
        return Named(rest or "flops", PF_DAY, "PF-days")
    for place, word in enumerate(words):
        scale, instead = _scale(word, quantity, last=0 < place == len(words) - 1)
        if scale is not None:
            rest = [*words[:place], *instead, *words[place + 1 :]]
            return Named("".join(part for part in rest if part not in FILLERS), scale, word)
    return Named("".join(words))


def _scale(word: str, quantity: str, last: bool) -> tuple[float | None, list[str]]:
    """The factor of the word as a unit (None: it is none), and what stays of it in the key."""
    if _POWER.fullmatch(word):
        return float(word), []
    if quantity == "flops":
        found = _FLOPS.fullmatch(word)
        return (PREFIXES[found[1]], ["flops"]) if found else (None, [])
    if word.removesuffix("s") in SPELLED:
        return SPELLED[word.removesuffix("s")], []
    return (LETTERS[word], []) if last and word in LETTERS else (None, [])


def is_spelled_out(name: str, unit: str) -> bool:
    """Whether the unit stands in brackets at the name's end, or is more than a letter."""
    if len(unit) > len("bn"):
        return True
    return re.search(rf"[(\[]\s*{re.escape(unit)}\s*[)\]]\s*$", name, re.IGNORECASE) is not None
