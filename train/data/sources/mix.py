"""Several sources by weight: `mix:wiki-intro=0.7+text:books/*.txt=0.3`, in thousandths that sum to 1."""

from __future__ import annotations

from isoflop.train.data.mixture import MixSource, open_mixture


def open_source(argument: str) -> MixSource:
    """The mixture of `SOURCE=WEIGHT+SOURCE=WEIGHT...`."""
    return open_mixture(argument)
